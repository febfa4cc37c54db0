//! The shared memory of a leader and its worker: a control block and two queues.

use pgrx::pg_sys;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

/// Changes with the layout of the block and with the messages: after an update of the library an
/// old leader may start a new worker.
const MAGIC: u32 = 0x6372_7703;
/// Bytes of each queue. A longer message passes through in pieces.
const QUEUE: usize = 32 * 1024;
/// Bytes of the control block: a multiple of the server's alignment.
const HEAD: usize = 64;

/// The beginning of the shared memory.
#[repr(C)]
pub(super) struct Control {
    magic: u32,
    /// The database to connect to.
    pub(super) database: pg_sys::Oid,
    /// The role to connect as: the first of current, session and authenticated user that may.
    pub(super) login: pg_sys::Oid,
    /// The role that statements run as.
    pub(super) role: pg_sys::Oid,
    /// Not 0 once the leader wants the worker to end.
    pub(super) stop: AtomicU32,
}

const _: () = assert!(size_of::<Control>() <= HEAD);

/// One end of the shared memory.
pub(super) struct Channel {
    segment: *mut pg_sys::dsm_segment,
    control: *mut Control,
    incoming: *mut pg_sys::shm_mq_handle,
    outgoing: *mut pg_sys::shm_mq_handle,
}

/// The end of a channel's other process.
#[derive(Debug)]
pub(super) struct Detached;

/// A wait for a message.
pub(super) enum Wait {
    /// Until it arrives.
    Forever,
    /// For so many milliseconds.
    AtMost(i64),
}

/// # Safety
/// The segment must be one of [`Channel::create`].
unsafe fn queue(segment: *mut pg_sys::dsm_segment, number: usize) -> *mut c_void {
    // SAFETY: the segment has a control block and two queues.
    unsafe { pg_sys::dsm_segment_address(segment).byte_add(HEAD + number * QUEUE) }
}

impl Channel {
    /// The leader's end; `None` if the server has no room for shared memory. The memory belongs to
    /// the running transaction.
    pub(super) fn create(login: pg_sys::Oid, role: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the segment is large enough for the block and the queues, which no other process
        // knows yet. Its address is aligned to a page.
        unsafe {
            let segment =
                pg_sys::dsm_create(HEAD + 2 * QUEUE, pg_sys::DSM_CREATE_NULL_IF_MAXSEGMENTS as i32);
            if segment.is_null() {
                return None;
            }
            let control = pg_sys::dsm_segment_address(segment).cast::<Control>();
            control.write(Control {
                magic: MAGIC,
                database: pg_sys::MyDatabaseId,
                login,
                role,
                stop: AtomicU32::new(0),
            });
            let requests = pg_sys::shm_mq_create(queue(segment, 0), QUEUE);
            let replies = pg_sys::shm_mq_create(queue(segment, 1), QUEUE);
            pg_sys::shm_mq_set_sender(requests, pg_sys::MyProc);
            pg_sys::shm_mq_set_receiver(replies, pg_sys::MyProc);
            let none = std::ptr::null_mut();
            let outgoing = pg_sys::shm_mq_attach(requests, segment, none);
            let incoming = pg_sys::shm_mq_attach(replies, segment, none);
            Some(Self { segment, control, incoming, outgoing })
        }
    }

    /// Lets the leader notice the end of a worker that never attached.
    ///
    /// # Safety
    /// The handle must stay valid as long as the channel.
    pub(super) unsafe fn set_worker(&self, worker: *mut pg_sys::BackgroundWorkerHandle) {
        // SAFETY: both queues are attached, and the handle is as the caller vouches.
        unsafe {
            pg_sys::shm_mq_set_handle(self.incoming, worker);
            pg_sys::shm_mq_set_handle(self.outgoing, worker);
        }
    }

    /// The worker's end; `None` if the leader is gone, or uses another version of the library.
    pub(super) fn attach(segment: pg_sys::dsm_handle) -> Option<Self> {
        // SAFETY: without a resource owner the mapping lasts as long as the process. The leader
        // has made block and queues before it started the worker.
        unsafe {
            let segment = pg_sys::dsm_attach(segment);
            if segment.is_null() {
                return None;
            }
            let control = pg_sys::dsm_segment_address(segment).cast::<Control>();
            if (*control).magic != MAGIC {
                return None;
            }
            let requests = queue(segment, 0).cast::<pg_sys::shm_mq>();
            let replies = queue(segment, 1).cast::<pg_sys::shm_mq>();
            pg_sys::shm_mq_set_receiver(requests, pg_sys::MyProc);
            pg_sys::shm_mq_set_sender(replies, pg_sys::MyProc);
            let none = std::ptr::null_mut();
            let incoming = pg_sys::shm_mq_attach(requests, segment, none);
            let outgoing = pg_sys::shm_mq_attach(replies, segment, none);
            Some(Self { segment, control, incoming, outgoing })
        }
    }

    /// The name of the segment, for the other process.
    pub(super) fn handle(&self) -> pg_sys::dsm_handle {
        // SAFETY: the segment is mapped.
        unsafe { pg_sys::dsm_segment_handle(self.segment) }
    }

    pub(super) fn segment(&self) -> *mut pg_sys::dsm_segment {
        self.segment
    }

    pub(super) fn control(&self) -> &Control {
        // SAFETY: mapped as long as the channel exists. Only `stop` changes, which is atomic.
        unsafe { &*self.control }
    }

    /// Asks the worker to end, and wakes it if it waits for a request.
    pub(super) fn stop(&self) {
        self.control().stop.store(1, Ordering::Relaxed);
        // SAFETY: the queue is attached, and no message is sent any more.
        unsafe { pg_sys::shm_mq_detach(self.outgoing) };
    }

    /// Sends a message. Waits while the queue is full; reacts to interrupts.
    pub(super) fn send(&self, message: &impl Serialize) -> Result<(), Detached> {
        let bytes = serde_json::to_vec(message).map_err(|_| Detached)?;
        // SAFETY: the queue is attached, and copies the bytes before the call returns.
        let sent = unsafe {
            pg_sys::shm_mq_send(self.outgoing, bytes.len(), bytes.as_ptr().cast(), false, true)
        };
        if sent == pg_sys::shm_mq_result::SHM_MQ_SUCCESS { Ok(()) } else { Err(Detached) }
    }

    /// The next message; `None` if none arrived in time. Reacts to interrupts.
    pub(super) fn receive<T: DeserializeOwned>(&self, wait: &Wait) -> Result<Option<T>, Detached> {
        let start = std::time::Instant::now();
        loop {
            let (mut length, mut data) = (0, std::ptr::null_mut());
            // SAFETY: the queue is attached. The bytes are valid until the next call.
            let result = unsafe {
                let result = pg_sys::shm_mq_receive(self.incoming, &mut length, &mut data, true);
                if result == pg_sys::shm_mq_result::SHM_MQ_SUCCESS {
                    let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length);
                    return serde_json::from_slice(bytes).map(Some).map_err(|_| Detached);
                }
                result
            };
            if result == pg_sys::shm_mq_result::SHM_MQ_DETACHED {
                return Err(Detached);
            }
            let rest = match wait {
                Wait::Forever => 1_000,
                Wait::AtMost(limit) => {
                    let waited = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
                    if waited >= *limit {
                        return Ok(None);
                    }
                    (limit - waited).min(1_000)
                }
            };
            wait_for_latch(rest);
        }
    }

    /// Releases the shared memory.
    pub(super) fn detach(&self) {
        // SAFETY: the segment is mapped, and the channel is not used again.
        unsafe { pg_sys::dsm_detach(self.segment) };
    }
}

/// Waits for a sign of another process, at most so many milliseconds; reacts to interrupts.
pub(in crate::pg) fn wait_for_latch(milliseconds: i64) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: the latch of this process.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as i32,
            milliseconds as std::ffi::c_long,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    pgrx::check_for_interrupts!();
}
