"""Ranks in one process: threads that talk as MPI's communicators do."""

import threading


class Request:
    def Wait(self):
        pass


class Rank:
    """One rank of a group; see ``together``."""

    IN_PLACE = object()

    def __init__(self, group, rank):
        self.group, self.rank = group, rank

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.group.slots)

    def allgather(self, value):
        self.group.slots[self.rank] = value
        self.group.barrier.wait()
        found = list(self.group.slots)
        self.group.barrier.wait()
        return found

    def bcast(self, value, root=0):
        return self.allgather(value)[root]

    def Allreduce(self, place, array):
        parts = self.allgather(array.copy())
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        array[...] = total

    def Iallreduce(self, place, array):
        self.Allreduce(place, array)
        return Request()

    def Allgatherv(self, mine, receive):
        samples, counts = receive
        first = 0
        for part, count in zip(self.allgather(mine.copy()), counts, strict=True):
            samples.reshape(-1)[first : first + count] = part.reshape(-1)
            first += count


class Group:
    def __init__(self, size):
        self.slots, self.barrier = [None] * size, threading.Barrier(size, timeout=60)


def together(size, work):
    """Call ``work(rank)`` on so many ranks; return what they return, or raise what they raise."""
    group, results, errors = Group(size), [None] * size, [None] * size

    def run(rank):
        try:
            results[rank] = work(Rank(group, rank))
        except BaseException as error:
            errors[rank] = error
            group.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [e for e in errors if e is not None and not isinstance(e, threading.BrokenBarrierError)]
    for error in real or [e for e in errors if e is not None]:
        raise error
    return results
