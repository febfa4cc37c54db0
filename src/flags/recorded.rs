//! The flags as their history records them. An evaluation takes them from here while another
//! session, such as an ALTER TABLE in a transaction that stays open, has locked `feature_flags`.

use super::bucket::UserId;
use super::bucket::parse_uuid;
use super::model::{Flag, Targeting};
use crate::pg::access::scan::TableScan;
use crate::pg::catalog::lookup;
use pgrx::pg_sys;
use serde::Deserialize;
use std::collections::HashMap;

/// The columns of a flag that an evaluation reads, in a row of the history.
#[derive(Deserialize)]
struct Image {
    flag_key: String,
    is_enabled: bool,
    rollout_percentage: i32,
    rollout_group: String,
    #[serde(default)]
    target_user_ids: Vec<Option<String>>,
    target_premium_only: bool,
    target_regions: serde_json::Value,
    target_segments: serde_json::Value,
}

impl Image {
    fn flag(self) -> (Vec<u8>, Flag) {
        let listed: Vec<UserId> = self
            .target_user_ids
            .iter()
            .flatten()
            .filter_map(|id| parse_uuid(id.as_bytes()))
            .collect();
        let targeting = Targeting {
            premium_only: self.target_premium_only,
            regions: members(&self.target_regions),
            segments: members(&self.target_segments),
        };
        let (group, percentage) = (self.rollout_group.into_bytes(), self.rollout_percentage);
        let flag = Flag::new(self.is_enabled, percentage, &group, listed, targeting);
        (self.flag_key.into_bytes(), flag)
    }
}

/// The strings of a list, those of nested lists included; `None` for an empty list.
fn members(list: &serde_json::Value) -> Option<Vec<Vec<u8>>> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    let mut found = Vec::new();
    for member in list {
        match member {
            serde_json::Value::String(text) => found.push(text.clone().into_bytes()),
            nested => found.extend(members(nested).unwrap_or_default()),
        }
    }
    Some(found)
}

/// The latest committed flags and those of this transaction, each with its key.
///
/// The last row of a flag in the history is its state. A flag without history is as CREATE
/// EXTENSION made it. A row that cannot be read is no flag, so it is off.
pub fn flags() -> Vec<(Vec<u8>, Flag)> {
    let Some(schema) = lookup::schema(c"crewsnow_ops") else { return Vec::new() };
    let mut latest: HashMap<UserId, (i64, Option<String>)> = HashMap::new();
    let open = |name| lookup::table_in(schema, name).and_then(TableScan::open);
    if let Some(mut history) = open(c"flag_history") {
        let column = |name, type_| history.column(name, type_).unwrap_or(0);
        let flag_id = column(c"flag_id", pg_sys::UUIDOID);
        let changed_at = column(c"changed_at", pg_sys::TIMESTAMPTZOID);
        let after = column(c"after", pg_sys::JSONBOID);
        while let Some(row) = history.next() {
            let (Some(id), Some(time)) = (row.uuid(flag_id), row.int8(changed_at)) else {
                continue;
            };
            if latest.get(&id).is_none_or(|(known, _)| *known < time) {
                latest.insert(id, (time, row.json(after)));
            }
        }
    }
    let mut found: Vec<(Vec<u8>, Flag)> = latest
        .values()
        .filter_map(|(_, image)| serde_json::from_str::<Image>(image.as_deref()?).ok())
        .map(Image::flag)
        .collect();
    if let Some(mut launch) = open(c"launch_flags") {
        let column = |name, type_| launch.column(name, type_).unwrap_or(0);
        let id = column(c"id", pg_sys::UUIDOID);
        let key = column(c"flag_key", pg_sys::TEXTOID);
        let is_enabled = column(c"is_enabled", pg_sys::BOOLOID);
        let percentage = column(c"rollout_percentage", pg_sys::INT4OID);
        let group = column(c"rollout_group", pg_sys::TEXTOID);
        let premium_only = column(c"target_premium_only", pg_sys::BOOLOID);
        let segments = column(c"target_segments", pg_sys::TEXTARRAYOID);
        while let Some(row) = launch.next() {
            let (Some(id), Some(key), Some(group)) = (row.uuid(id), row.text(key), row.text(group))
            else {
                continue;
            };
            if latest.contains_key(&id) {
                continue;
            }
            // Launch flags list no users and no regions.
            let targeting = Targeting {
                premium_only: row.boolean(premium_only).unwrap_or(true),
                regions: None,
                segments: row.text_array(segments).filter(|segments| !segments.is_empty()),
            };
            let (is_enabled, percentage) =
                (row.boolean(is_enabled).unwrap_or(false), row.integer(percentage).unwrap_or(0));
            found.push((key, Flag::new(is_enabled, percentage, &group, vec![], targeting)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::model::{Context, Decision};

    const USER: &str = "11111111-1111-4111-8111-111111111111";

    fn decide(change: (&str, serde_json::Value)) -> Decision {
        let mut image = serde_json::json!({
            "flag_key": "lift_map", "is_enabled": true, "rollout_percentage": 100,
            "rollout_group": "lift_map", "target_user_ids": [], "target_premium_only": false,
            "target_regions": [], "target_segments": [], "description": "any other column",
        });
        image[change.0] = change.1;
        let image: Image = serde_json::from_value(image).expect("an image of a flag");
        let (key, flag) = image.flag();
        assert_eq!(key, b"lift_map");
        let user = parse_uuid(USER.as_bytes()).expect("a uuid");
        flag.decide(Some(&user), |_| Context::Unknown)
    }

    #[test]
    fn an_image_decides_like_its_row() {
        use serde_json::json;
        assert_eq!(decide(("is_enabled", json!(true))), Decision::FullRollout);
        assert_eq!(decide(("is_enabled", json!(false))), Decision::Disabled);
        assert_eq!(decide(("rollout_percentage", json!(0))), Decision::ZeroRollout);
        assert_eq!(decide(("target_regions", json!(["FR"]))), Decision::UnknownUser);
        assert_eq!(decide(("target_regions", json!([null]))), Decision::UnknownUser);
        assert_eq!(decide(("target_user_ids", json!([null, USER]))), Decision::TargetUser);
    }
}
