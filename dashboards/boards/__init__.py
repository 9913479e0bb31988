"""The boards, in the order in which an operator asks."""

from . import capacity, drives, lanes, overview, rdma, tenants, time, training

ALL = [
    overview.BOARD,
    time.BOARD,
    drives.BOARD,
    lanes.BOARD,
    rdma.BOARD,
    tenants.BOARD,
    training.BOARD,
    capacity.BOARD,
]
