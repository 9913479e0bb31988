//! Owns the attributes with which queue pairs are taken from state to state: those of ibv_modify_qp(3), and which of them
//! count in which step.

use std::ffi::{c_int, c_uint};
use std::mem::MaybeUninit;

use rdma_sys::{
    ibv_access_flags, ibv_ah_attr, ibv_gid, ibv_global_route, ibv_qp_attr, ibv_qp_attr_mask,
    ibv_qp_state,
};

use super::device::mtu_value;
use crate::fabric::{Peer, RemoteAccess, Transition};
use crate::limits;

/// The attributes of a step, and which of them count. `gid_index` is that of the step's own address; `None` where it has
/// none.
pub(super) fn attributes_of(
    step: &Transition,
    port: u8,
    gid_index: Option<u8>,
) -> (ibv_qp_attr, c_int) {
    use ibv_qp_attr_mask as Mask;
    // SAFETY: numbers and bytes only, for which zeros are valid.
    let mut attributes = unsafe { MaybeUninit::<ibv_qp_attr>::zeroed().assume_init() };
    let mut mask = Mask::IBV_QP_STATE;
    match step {
        Transition::Init { access } => {
            attributes.qp_state = ibv_qp_state::IBV_QPS_INIT;
            attributes.pkey_index = 0;
            attributes.port_num = port;
            attributes.qp_access_flags = remote_rights(*access);
            mask |= Mask::IBV_QP_PKEY_INDEX | Mask::IBV_QP_PORT | Mask::IBV_QP_ACCESS_FLAGS;
        }
        Transition::ReadyToReceive { peer, path_mtu, .. } => {
            attributes.qp_state = ibv_qp_state::IBV_QPS_RTR;
            attributes.path_mtu = mtu_value(*path_mtu);
            attributes.dest_qp_num = peer.qpn.number();
            attributes.rq_psn = peer.psn.number();
            attributes.max_dest_rd_atomic = limits::READS_IN_PROGRESS;
            attributes.min_rnr_timer = limits::RECEIVER_NOT_READY_TIMER;
            attributes.ah_attr = route_to(peer, port, gid_index.unwrap_or(0));
            mask |= Mask::IBV_QP_AV | Mask::IBV_QP_PATH_MTU | Mask::IBV_QP_DEST_QPN;
            mask |= Mask::IBV_QP_RQ_PSN | Mask::IBV_QP_MAX_DEST_RD_ATOMIC;
            mask |= Mask::IBV_QP_MIN_RNR_TIMER;
        }
        Transition::ReadyToSend { psn } => {
            attributes.qp_state = ibv_qp_state::IBV_QPS_RTS;
            attributes.sq_psn = psn.number();
            attributes.timeout = limits::ACKNOWLEDGEMENT_TIMEOUT;
            attributes.retry_cnt = limits::RETRIES;
            attributes.rnr_retry = limits::RECEIVER_NOT_READY_RETRIES;
            attributes.max_rd_atomic = limits::READS_IN_PROGRESS;
            mask |= Mask::IBV_QP_SQ_PSN | Mask::IBV_QP_TIMEOUT | Mask::IBV_QP_RETRY_CNT;
            mask |= Mask::IBV_QP_RNR_RETRY | Mask::IBV_QP_MAX_QP_RD_ATOMIC;
        }
        Transition::Error => attributes.qp_state = ibv_qp_state::IBV_QPS_ERR,
        Transition::Reset => attributes.qp_state = ibv_qp_state::IBV_QPS_RESET,
    }
    (attributes, mask.0.cast_signed())
}

/// A global route always: RoCE has no other, and InfiniBand takes it too.
fn route_to(peer: &Peer, port: u8, gid_index: u8) -> ibv_ah_attr {
    ibv_ah_attr {
        grh: ibv_global_route {
            dgid: ibv_gid { raw: peer.gid.0 },
            flow_label: 0,
            sgid_index: gid_index,
            hop_limit: limits::HOPS,
            traffic_class: 0,
        },
        dlid: peer.lid,
        sl: 0,
        src_path_bits: 0,
        static_rate: 0,
        is_global: 1,
        port_num: port,
    }
}

fn remote_rights(access: RemoteAccess) -> c_uint {
    let mut rights = ibv_access_flags(0);
    if access.reads() {
        rights |= ibv_access_flags::IBV_ACCESS_REMOTE_READ;
    }
    if access.writes() {
        rights |= ibv_access_flags::IBV_ACCESS_REMOTE_WRITE;
    }
    rights.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::{Gid, Mtu, Psn, Qpn};

    #[test]
    fn steps_carry_what_both_ends_agreed_on() {
        let peer = Peer {
            qpn: Qpn::new(0x11).unwrap(),
            gid: Gid([7; 16]),
            lid: 3,
            psn: Psn::new(0x22).unwrap(),
        };
        let step = Transition::ReadyToReceive { peer, local: Gid([8; 16]), path_mtu: Mtu::B4096 };
        let (attributes, mask) = attributes_of(&step, 1, Some(5));
        assert_eq!((attributes.dest_qp_num, attributes.rq_psn), (0x11, 0x22));
        assert_eq!((attributes.path_mtu, attributes.max_dest_rd_atomic), (5, 1));
        assert_eq!((attributes.ah_attr.grh.sgid_index, attributes.ah_attr.grh.hop_limit), (5, 64));
        assert_eq!((attributes.ah_attr.dlid, attributes.ah_attr.is_global), (3, 1));
        // STATE, AV, PATH_MTU, RQ_PSN, MIN_RNR_TIMER, MAX_DEST_RD_ATOMIC, DEST_QPN
        assert_eq!(mask, 1 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 15 | 1 << 17 | 1 << 20);
    }

    #[test]
    fn retries_end() {
        let (attributes, mask) =
            attributes_of(&Transition::ReadyToSend { psn: Psn::new(9).unwrap() }, 1, None);
        assert_eq!((attributes.timeout, attributes.retry_cnt, attributes.rnr_retry), (14, 6, 7));
        assert_eq!((attributes.sq_psn, attributes.max_rd_atomic), (9, 1));
        assert_eq!(mask, 1 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 13 | 1 << 16);
    }

    #[test]
    fn the_peer_may_do_what_it_was_given() {
        let rights = |access| {
            let (attributes, mask) = attributes_of(&Transition::Init { access }, 2, None);
            assert_eq!((attributes.port_num, mask), (2, 1 | 1 << 3 | 1 << 4 | 1 << 5));
            attributes.qp_access_flags
        };
        assert_eq!(rights(RemoteAccess::None), 0);
        assert_eq!(rights(RemoteAccess::Write), 2);
        assert_eq!(rights(RemoteAccess::Read), 4);
        assert_eq!(rights(RemoteAccess::ReadWrite), 6);
    }
}
