"""`clockmesh demo`: three daemons on loopback, a scraped site, a matrix and a killed peer, told as it happens."""
