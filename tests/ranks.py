"""Ranks as threads of one process, with the methods of an MPI communicator that are used."""

import threading


class Request:
    def Wait(self):
        pass


class Rank:
    """The communicator of one rank in a group of threads."""

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
    """Run ``work(rank)`` in a thread per rank; return the results, or raise the first error."""
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
