from contextlib import contextmanager
RULES = {"x": None}
@contextmanager
def without(name):
    yield
