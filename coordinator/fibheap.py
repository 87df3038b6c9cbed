"""A Fibonacci heap (Fredman and Tarjan, 1987): the queue of jobs that a peer may take, most urgent first.

Smallest key first. Only keys are compared, never values; entries with equal keys come in no promised order, so a
caller who wants one puts it into the key. Amortised cost: `insert`, `find_min`, `decrease_key` O(1); `extract_min`
and `delete` O(log n); `merge` O(1) for each tree of the heap that has fewer of them.

Siblings stand in a plain list and know their index there, so that leaving a list is one swap; in Python this is
faster than the circular links of the paper.
"""

from __future__ import annotations

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
        self._marked = False

    @property
    def key(self) -> K:
        return self._key

    def __repr__(self) -> str:
        return f"Entry({self._key!r}, {self.value!r})"


_NO_CHILDREN: list[Any] = []
"""Shared by all entries without children, never changed: most entries never have any."""


class FibonacciHeap(Generic[K, V]):
    """Entries by smallest key. NaN is no key (ValueError), nor is a tuple that holds one."""

    __slots__ = ("_home", "_min", "_roots", "_size")

    def __init__(self) -> None:
        self._home = _Home()
        self._min: Entry[K, V] | None = None
        self._roots: list[Entry[K, V]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def insert(self, key: K, value: V) -> Entry[K, V]:
        """Put a value in; its entry stays good until it is extracted or deleted."""
        if key != key or key.__class__ is tuple:
            _refuse_nan(key)
        smallest = self._min
        lower = smallest is None or key < smallest._key  # may raise for keys of another kind: before any change
        entry = Entry(key, value, self._home, len(self._roots))
        self._roots.append(entry)
        self._size += 1
        if lower:
            self._min = entry
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
        self._check_held(entry)
        if key != key or key.__class__ is tuple:
            _refuse_nan(key)
        if entry._key < key:
            raise ValueError(f"{key!r} is above the entry's key {entry._key!r}")
        entry._key = key
        parent = entry._parent
        if parent is not None and key < parent._key:
            self._cut(entry)
        if self._min is not None and key < self._min._key:
            self._min = entry

    def delete(self, entry: Entry[K, V]) -> None:
        """Take an entry out wherever it stands; ValueError for one that is not in this heap."""
        self._check_held(entry)
        if entry._parent is not None:
            self._cut(entry)
        self._remove_root(entry)
        if entry is self._min:
            self._consolidate()

    def merge(self, other: FibonacciHeap[K, V]) -> None:
        """Take in all entries of another heap, which is empty afterwards; ValueError for merging with itself."""
        if other is self:
            raise ValueError("a heap cannot be merged with itself")
        if other._min is None:
            return
        if self._min is None or other._min._key < self._min._key:
            self._min = other._min
        more, fewer = self._roots, other._roots
        if len(more) < len(fewer):
            more, fewer = fewer, more
        for index, entry in enumerate(fewer, len(more)):
            entry._index = index
        more.extend(fewer)
        self._roots = more
        self._size += other._size
        other._home.moved_to = self._home
        other._home, other._min, other._roots, other._size = _Home(), None, [], 0

    def _check_held(self, entry: Entry[K, V]) -> None:
        home = entry._home
        if home is self._home:
            return
        while home is not None and home.moved_to is not None:
            home = home.moved_to
        entry._home = home
        if home is not self._home:
            raise ValueError("the entry is not in this heap" if home else "the entry has left its heap")

    def _remove_root(self, entry: Entry[K, V]) -> None:
        """Take a root out; its children become roots."""
        roots = self._roots
        _leave(roots, entry)
        for index, child in enumerate(entry._children, len(roots)):
            child._parent = None
            child._marked = False
            child._index = index
        roots.extend(entry._children)
        entry._children = _NO_CHILDREN
        entry._home = None
        self._size -= 1

    def _cut(self, entry: Entry[K, V]) -> None:
        """Make an entry that has a parent a root, and so each ancestor that loses its second child by it."""
        roots = self._roots
        parent = entry._parent
        while parent is not None:
            _leave(parent._children, entry)
            entry._parent = None
            entry._marked = False
            entry._index = len(roots)
            roots.append(entry)
            entry, parent = parent, parent._parent
            if not entry._marked:
                entry._marked = parent is not None
                return

    def _consolidate(self) -> None:
        """Link roots of equal degree until all differ, and find the smallest. The table has a place for each degree
        that occurs, so no bound on degrees (log to the base 1.618 of the size) is built in."""
        by_degree: dict[int, Entry[K, V]] = {}
        take = by_degree.pop
        for root in self._roots:
            degree = len(root._children)
            other = take(degree, None)
            while other is not None:
                if other._key < root._key:
                    root, other = other, root
                other._parent = root
                other._index = degree
                if degree:
                    root._children.append(other)
                else:
                    root._children = [other]
                degree += 1
                other = take(degree, None)
            by_degree[degree] = root
        self._roots = roots = list(by_degree.values())
        smallest = roots[0] if roots else None
        for index, root in enumerate(roots):
            root._index = index
            if smallest is not None and root._key < smallest._key:
                smallest = root
        self._min = smallest


def _leave(siblings: list[Entry[K, V]], entry: Entry[K, V]) -> None:
    """Drop an entry from its list; the last one takes its place."""
    last = siblings.pop()
    if last is not entry:
        siblings[entry._index] = last
        last._index = entry._index


def _refuse_nan(key: object) -> None:
    if isinstance(key, tuple):
        for part in key:
            _refuse_nan(part)
    elif key != key:
        raise ValueError("NaN is no key: it has no place in any order")
