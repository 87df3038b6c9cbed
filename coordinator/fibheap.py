"""A Fibonacci heap (Fredman and Tarjan, 1987): the queue of jobs that a peer may take, most urgent first.

Smallest key first. Only keys are compared, never values; entries with equal keys come in no promised order, so a
caller who wants one puts it into the key. Amortised cost: `insert`, `find_min`, `decrease_key` O(1); `extract_min`
and `delete` O(log n); `merge` O(1) for each tree of the heap that has fewer of them.

Siblings stand in a plain list and know their index there, so that leaving a list is one swap; in Python this is
faster than the circular links of the paper.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar


class Comparable(Protocol):
    """What a key must be: of a total order with the other keys of its heap."""

    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=Comparable)
V = TypeVar("V")


class _Home:
    """The heap an entry belongs to; a merged heap's home leads on to that of the heap that took it in."""

    __slots__ = ("moved_to",)

    def __init__(self) -> None:
        self.moved_to: _Home | None = None


class Entry(Generic[K, V]):
    """One key and value in a heap: what `decrease_key` and `delete` want."""

    __slots__ = ("_children", "_home", "_index", "_key", "_marked", "_parent", "value")

    def __init__(self, key: K, value: V, home: _Home, index: int) -> None:
        self._key = key
        self.value = value
        self._home: _Home | None = home
        self._index = index
        self._parent: Entry[K, V] | None = None
        self._children: list[Entry[K, V]] = _NO_CHILDREN
        self._marked: bool  # set when it gets a parent: a root's mark means nothing

    @property
    def key(self) -> K:
        return self._key

    def __repr__(self) -> str:
        return f"Entry({self._key!r}, {self.value!r})"


_NO_CHILDREN: list[Any] = []
"""Shared by all entries without children, never changed: most entries never have any."""


class FibonacciHeap(Generic[K, V]):
    """Entries by smallest key. NaN is no key (ValueError), nor is a tuple that holds one."""

    __slots__ = ("_home", "_loose", "_min", "_size", "_table")

    def __init__(self) -> None:
        self._home = _Home()
        self._min: Entry[K, V] | None = None
        self._table: list[Entry[K, V] | None] = []
        """Roots that were linked, each at its degree."""
        self._loose: list[Entry[K, V]] = []
        """Roots that came since the last `extract_min`."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def insert(self, key: K, value: V) -> Entry[K, V]:
        """Put a value in; its entry stays good until it is extracted or deleted."""
        if key != key or key.__class__ is tuple:
            _refuse_nan(key)
        loose, smallest = self._loose, self._min
        entry = Entry(key, value, self._home, len(loose))
        if smallest is None or key < smallest._key:  # may raise for a key of another kind: nothing has changed yet
            self._min = entry
        loose.append(entry)
        self._size += 1
        return entry

    def find_min(self) -> Entry[K, V]:
        """The entry with the smallest key, left in place; IndexError when the heap is empty."""
        if self._min is None:
            raise IndexError("the heap is empty")
        return self._min

    def extract_min(self) -> Entry[K, V]:
        """Take out the entry with the smallest key; IndexError when the heap is empty."""
        entry = self.find_min()
        self._remove_root(entry)
        self._consolidate()
        return entry

    def decrease_key(self, entry: Entry[K, V], key: K) -> None:
        """Give an entry a smaller (or the same) key; ValueError for a larger one or an entry not in this heap."""
        if entry._home is not self._home:
            self._find_home(entry)
        if key != key or key.__class__ is tuple:
            _refuse_nan(key)
        if entry._key < key:
            raise ValueError(f"{key!r} is above the entry's key {entry._key!r}")
        entry._key = key
        parent = entry._parent
        if parent is not None and key < parent._key:
            self._cut(entry, parent)
        if self._min is not None and key < self._min._key:
            self._min = entry

    def delete(self, entry: Entry[K, V]) -> None:
        """Take an entry out wherever it stands; ValueError for one that is not in this heap."""
        if entry._home is not self._home:
            self._find_home(entry)
        if entry._parent is not None:
            self._cut(entry, entry._parent)
        first = len(self._loose)
        self._remove_root(entry)
        if entry is self._min:
            self._consolidate()
            return
        for index in range(max(0, first - 1), len(self._loose)):
            root = self._loose[index]
            root._parent = None
            root._index = index

    def merge(self, other: FibonacciHeap[K, V]) -> None:
        """Take in all entries of another heap, which is empty afterwards; ValueError for merging with itself."""
        if other is self:
            raise ValueError("a heap cannot be merged with itself")
        if other._min is None:
            return
        if self._min is None or other._min._key < self._min._key:
            self._min = other._min
        more, fewer = self._loose, other._loose
        if len(more) < len(fewer):
            more, fewer = fewer, more
        for entry in (*fewer, *(root for root in other._table if root is not None)):
            entry._index = len(more)
            more.append(entry)
        self._loose = more
        self._size += other._size
        other._home.moved_to = self._home
        other._home, other._min, other._table, other._loose, other._size = _Home(), None, [], [], 0

    def _find_home(self, entry: Entry[K, V]) -> None:
        """Follow merged heaps to where an entry is now; ValueError when that is not here."""
        home = entry._home
        while home is not None and home.moved_to is not None:
            home = home.moved_to
        entry._home = home
        if home is not self._home:
            raise ValueError("the entry is in another heap" if home else "the entry has left its heap")

    def _remove_root(self, entry: Entry[K, V]) -> None:
        """Take a root out. Its children become loose roots; the caller sees to their parent and index."""
        loose, table, children = self._loose, self._table, entry._children
        degree = len(children)
        if degree < len(table) and table[degree] is entry:
            table[degree] = None
        else:
            last = loose.pop()
            if last is not entry:
                loose[entry._index] = last
                last._index = entry._index
        if degree:
            loose += children
            entry._children = _NO_CHILDREN
        entry._home = None
        self._size -= 1

    def _cut(self, entry: Entry[K, V], parent: Entry[K, V]) -> None:
        """Make an entry a loose root, and with it each ancestor that loses its second child so."""
        loose = self._loose
        while True:
            siblings = parent._children
            last = siblings.pop()
            if last is not entry:
                siblings[entry._index] = last
                last._index = entry._index
            entry._parent = None
            entry._index = len(loose)
            loose.append(entry)
            entry, above = parent, parent._parent
            if above is None:
                self._loosen(entry)
                return
            if not entry._marked:
                entry._marked = True
                return
            parent = above

    def _loosen(self, root: Entry[K, V]) -> None:
        """A root has lost a child: where it stood in the table is no longer its degree."""
        degree = len(root._children) + 1
        if degree < len(self._table) and self._table[degree] is root:
            self._table[degree] = None
            root._index = len(self._loose)
            self._loose.append(root)

    def _consolidate(self) -> None:
        """Link roots of equal degree until all stand in the table, and find the smallest. The table grows by what
        degrees occur: up to log(size) to the base 1.618, more than log to the base 2."""
        table = self._table
        for root in self._loose:
            degree = len(root._children)
            try:
                while (other := table[degree]) is not None:
                    table[degree] = None
                    if other._key < root._key:
                        root, other = other, root
                    other._parent = root
                    other._index = degree
                    other._marked = False
                    if degree:
                        root._children.append(other)
                    else:
                        root._children = [other]
                    degree += 1
                table[degree] = root
            except IndexError:
                table += [None] * (degree - len(table))
                table.append(root)
            root._parent = None
        self._loose = []
        while table and table[-1] is None:
            table.pop()
        self._min = min(filter(None, table), key=_key_of, default=None)


_key_of = attrgetter("_key")


def _refuse_nan(key: object) -> None:
    if isinstance(key, tuple):
        for part in key:
            _refuse_nan(part)
    elif key != key:
        raise ValueError("NaN is no key: it has no place in any order")
