//! RDMA's door over real sockets, on a fabric in memory.
