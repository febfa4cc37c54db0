//! Evaluations with their reasons, of one flag and of all.

use super::bucket::parse_uuid;
use super::cache;
use super::model::{Decision, TextId};
use pgrx::JsonB;
use pgrx::prelude::*;
use serde::Serialize;

/// Explains an evaluation. See the COMMENT on the SQL function. Raises no errors of its own.
#[pg_extern(schema = "crewsnow_ops", stable, parallel_safe, requires = ["flags"])]
fn explain_feature_flag(
    p_flag_key: Option<&str>,
    p_user_id: default!(Option<pgrx::Uuid>, "NULL"),
) -> Option<JsonB> {
    let decision = decide_for_uuid(p_flag_key, p_user_id);
    explain(p_flag_key, p_user_id.map(|user| user.to_string()), decision)
}

/// Explains an evaluation for a user id of any text. Raises no errors of its own.
#[pg_extern(
    schema = "crewsnow_ops",
    name = "explain_feature_flag",
    stable,
    parallel_safe,
    requires = ["flags"]
)]
fn explain_feature_flag_for_text(p_flag_key: Option<&str>, p_user: Option<&str>) -> Option<JsonB> {
    let decision =
        p_flag_key.map_or(Decision::FlagNotFound, |key| decide_for_text(key.as_bytes(), p_user));
    explain(p_flag_key, p_user.map(str::to_owned), decision)
}

fn decide_for_uuid(key: Option<&str>, user: Option<pgrx::Uuid>) -> Decision {
    let user = user.map(|user| *user.as_bytes());
    key.map_or(Decision::FlagNotFound, |key| cache::decide(key.as_bytes(), user.as_ref()))
}

/// Decides for a user id of any text. A uuid in its usual form is that uuid. An empty text is no
/// user.
pub fn decide_for_text(key: &[u8], user: Option<&str>) -> Decision {
    let user = user.map(str::as_bytes).filter(|user| !user.is_empty());
    match user.and_then(parse_uuid) {
        Some(uuid) => cache::decide(key, Some(&uuid)),
        None => cache::decide(key, user.map(TextId).as_ref()),
    }
}

#[derive(Serialize)]
struct Explanation<'a> {
    flag_key: Option<&'a str>,
    user_id: Option<String>,
    value: bool,
    reason: &'static str,
    detail: &'static str,
    bucket: Option<u8>,
}

fn explain(flag_key: Option<&str>, user_id: Option<String>, decision: Decision) -> Option<JsonB> {
    let (reason, detail) = decision.reason();
    let (value, bucket) = (decision.is_on(), decision.bucket());
    let explanation = Explanation { flag_key, user_id, value, reason, detail, bucket };
    serde_json::to_value(explanation).ok().map(JsonB)
}

type Evaluated = (name!(flag_key, String), name!(value, bool), name!(reason, String));

fn rows(decisions: Vec<(Vec<u8>, Decision)>) -> TableIterator<'static, Evaluated> {
    TableIterator::new(decisions.into_iter().map(|(key, decision)| {
        let key = String::from_utf8_lossy(&key).into_owned();
        (key, decision.is_on(), decision.reason().0.to_owned())
    }))
}

/// Evaluates every flag for one user. Raises no errors of its own.
#[pg_extern(schema = "crewsnow_ops", stable, parallel_safe, requires = ["flags"])]
fn evaluate_all(
    p_user_id: default!(Option<pgrx::Uuid>, "NULL"),
) -> TableIterator<'static, (name!(flag_key, String), name!(value, bool), name!(reason, String))> {
    let user = p_user_id.map(|user| *user.as_bytes());
    rows(cache::decide_all(user.as_ref()))
}

/// Evaluates every flag for a user id of any text. Raises no errors of its own.
#[pg_extern(
    schema = "crewsnow_ops",
    name = "evaluate_all",
    stable,
    parallel_safe,
    requires = ["flags"]
)]
fn evaluate_all_for_text(
    p_user: Option<&str>,
) -> TableIterator<'static, (name!(flag_key, String), name!(value, bool), name!(reason, String))> {
    let user = p_user.map(str::as_bytes).filter(|user| !user.is_empty());
    rows(match user.and_then(parse_uuid) {
        Some(uuid) => cache::decide_all(Some(&uuid)),
        None => cache::decide_all(user.map(TextId).as_ref()),
    })
}
