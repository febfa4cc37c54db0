//! State of the flags that ends with the transaction: the reason of its changes, and the keys that
//! its commit notifies.

use crate::pg::backend_local::BackendLocal;
use crate::pg::xact::callbacks::{self, End};
use crate::pg::xact::notify::notify;
use crate::pg::xact::session::{self, Validity};
use crate::pg::xact::snapshot;
use crate::settings;
use std::collections::BTreeMap;
use std::ffi::CStr;

const CHANGE_REASON: &CStr = c"crewsnow_ops.change_reason";

/// The channel that applications listen to.
const CHANNEL: &CStr = c"crewsnow_ops_flags";

/// A transaction that changes more flags notifies once, with an empty payload.
const MAX_NOTIFIED: usize = 100;

struct State {
    /// Whether a change of this transaction carries the reason of the setting.
    is_reason_used: bool,
    /// The changed keys, each with the subtransaction that changed it first. The empty key stands
    /// for all flags.
    changed: BTreeMap<String, u32>,
    /// Microseconds that counting the reached users has taken.
    counting: i64,
}

static STATE: BackendLocal<State> =
    BackendLocal::new(State { is_reason_used: false, changed: BTreeMap::new(), counting: 0 });

/// Begins to follow the transactions of this session. Called once, when the library is loaded.
///
/// A reason that this session set before the library was loaded belongs to an earlier transaction,
/// behind a pooler perhaps of another client. Unless this transaction set it, it is dropped. A
/// parallel worker has the settings of its leader, and changes no flag.
pub fn start() {
    callbacks::add(at_end);
    if settings::change_reason().is_some()
        && !session::is_in_parallel_mode()
        && session::validity(CHANGE_REASON) == Validity::Older
    {
        session::reset(CHANGE_REASON);
    }
}

/// The reason of the setting; `None` if it is empty. A change carries it.
pub fn take_change_reason() -> Option<String> {
    let reason = settings::change_reason()?;
    STATE.with(|state| state.is_reason_used = true);
    Some(reason)
}

/// Notifies the listeners at commit that the evaluations of a flag may have changed; of all flags
/// for an empty key.
pub fn note_change(key: &str) {
    if settings::notify_flag_changes() {
        let subtransaction = snapshot::own_subtransaction();
        STATE.with(|state| {
            state.changed.entry(key.to_owned()).or_insert(subtransaction);
        });
    }
}

/// Counts `work` towards the time that this transaction may spend on counting users. `None` once
/// it is spent.
pub fn within_counting_time<R>(limit: i64, work: impl FnOnce() -> R) -> Option<R> {
    if STATE.with(|state| state.counting).is_none_or(|spent| spent >= limit) {
        return None;
    }
    let began = crate::pg::clock::now();
    let result = work();
    STATE.with(|state| state.counting += crate::pg::clock::now() - began);
    Some(result)
}

fn at_end(end: End) {
    match end {
        End::BeforeCommit => {
            clear_reason();
            let changed = STATE.with(|state| std::mem::take(&mut state.changed));
            let changed = changed.unwrap_or_default();
            if changed.len() > MAX_NOTIFIED || changed.contains_key("") {
                notify(CHANNEL, "");
            } else {
                changed.keys().for_each(|key| notify(CHANNEL, key));
            }
        }
        // A transaction that notifies cannot be prepared.
        End::BeforePrepare => clear_reason(),
        End::Undone(subtransaction) => {
            STATE.with(|state| state.changed.retain(|_, first| *first < subtransaction));
        }
        End::Ended => {
            STATE.with(|state| {
                state.is_reason_used = false;
                state.counting = 0;
                if !state.changed.is_empty() {
                    state.changed.clear();
                }
            });
        }
    }
}

/// A reason ends with its transaction: behind a pooler, the next one may be another client's.
fn clear_reason() {
    if settings::change_reason().is_none() {
        return;
    }
    let validity = session::validity(CHANGE_REASON);
    let is_used = STATE.with(|state| state.is_reason_used).unwrap_or(true);
    session::reset(CHANGE_REASON);
    if validity == Validity::SetNow && !is_used && settings::change_reason().is_none() {
        super::message::warn(
            "crewsnow_ops.change_reason is cleared: it ends with its transaction".into(),
            Some("No change of a flag carries it.".into()),
            "BEGIN; SET LOCAL crewsnow_ops.change_reason = 'INC-42'; or pass p_reason to \
             update_feature_flag."
                .into(),
        );
    }
}
