"""Scrape the prices of a site into a CSV file, one line a good; print how many, as step outputs."""

import csv
import re
import sys
import urllib.request

site, path = sys.argv[1:]
with urllib.request.urlopen(f"{site}/prices", timeout=10) as answer:
    page = answer.read().decode()
day = re.search(r"<title>Prices, day (\d+)</title>", page).group(1)
rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", page)
with open(path, "a", newline="") as file:
    csv.writer(file).writerows([day, good, price] for good, price in rows)
print(f"day={day}")
print(f"rows={len(rows)}")
