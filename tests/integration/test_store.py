def test_it(store, queue):
    store.put("a/b", b"1")
    queue.detect("x", 1)
    assert queue.length() == 1
