//! Names of time zones that a window accepts. Pure.
//!
//! PostgreSQL takes `CET` as an abbreviation with a fixed offset, all year round. A window of such
//! a zone is an hour late in summer, so a name that is an abbreviation too is refused.

use crate::suggest::similar_or_part;

/// A name that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedZone {
    /// The reason, for the DETAIL.
    pub reason: String,
    /// The zone to use instead; `None` if none is close.
    pub instead: Option<String>,
}

/// Abbreviations, each with the zone whose people use it. The first six names of the zone files
/// are abbreviations, too.
const ABBREVIATIONS: [(&str, &str); 49] = [
    ("CET", "Europe/Paris"),
    ("EET", "Europe/Athens"),
    ("WET", "Europe/Lisbon"),
    ("MET", "Europe/Paris"),
    ("EST", "America/New_York"),
    ("MST", "America/Denver"),
    ("HST", "Pacific/Honolulu"),
    ("CEST", "Europe/Paris"),
    ("CETDST", "Europe/Paris"),
    ("MEZ", "Europe/Berlin"),
    ("MESZ", "Europe/Berlin"),
    ("MEST", "Europe/Paris"),
    ("METDST", "Europe/Paris"),
    ("EEST", "Europe/Athens"),
    ("EETDST", "Europe/Athens"),
    ("WEST", "Europe/Lisbon"),
    ("WETDST", "Europe/Lisbon"),
    ("BST", "Europe/London"),
    ("BDST", "Europe/London"),
    ("MSK", "Europe/Moscow"),
    ("MSD", "Europe/Moscow"),
    ("TRT", "Europe/Istanbul"),
    ("EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("CT", "America/Chicago"),
    ("MDT", "America/Denver"),
    ("MT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"),
    ("AKST", "America/Anchorage"),
    ("AKDT", "America/Anchorage"),
    ("AST", "America/Halifax"),
    ("ADT", "America/Halifax"),
    ("NST", "America/St_Johns"),
    ("NDT", "America/St_Johns"),
    ("BRT", "America/Sao_Paulo"),
    ("ART", "America/Argentina/Buenos_Aires"),
    ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
    ("ACST", "Australia/Adelaide"),
    ("AWST", "Australia/Perth"),
    ("NZST", "Pacific/Auckland"),
    ("NZDT", "Pacific/Auckland"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("SGT", "Asia/Singapore"),
];

/// Names of zone files that depend on the server's machine, or stand for no zone.
const NO_ZONES: [&str; 3] = ["localtime", "posixrules", "Factory"];

/// The known zone of that name, in its own spelling.
pub fn accepted(name: &str, known: &[String]) -> Result<String, RefusedZone> {
    let is_name = |zone: &str| zone.eq_ignore_ascii_case(name.trim());
    let abbreviation = ABBREVIATIONS.iter().find(|(abbreviation, _)| is_name(abbreviation));
    if let Some((abbreviation, zone)) = abbreviation {
        return Err(RefusedZone {
            reason: format!(
                "{abbreviation} is the abbreviation of one offset from UTC, and has no DST."
            ),
            instead: Some((*zone).to_owned()),
        });
    }
    // The folders posix and right repeat all zones, the latter with leap seconds.
    let plain = ["posix/", "right/"].iter().find_map(|folder| name.strip_prefix(folder));
    if let Some(zone) = known.iter().find(|zone| is_name(zone))
        && !NO_ZONES.iter().any(|no_zone| is_name(no_zone))
        && plain.is_none()
    {
        return Ok(zone.clone());
    }
    let usable: Vec<&str> = known
        .iter()
        .map(String::as_str)
        .filter(|zone| !zone.starts_with("posix/") && !zone.starts_with("right/"))
        .filter(|zone| !NO_ZONES.contains(zone))
        .collect();
    let instead = match plain {
        Some(plain) => usable.contains(&plain).then(|| plain.to_owned()),
        None => {
            // A city is a name enough, and names with a folder are the current ones.
            let similar = similar_or_part(name, usable.iter().copied());
            let is_current = |zone: &&String| zone.contains('/');
            similar.iter().find(is_current).or(similar.first()).cloned()
        }
    };
    Err(RefusedZone {
        reason: match known.iter().any(|zone| is_name(zone)) {
            true => "Its meaning depends on the machine of the server.".to_owned(),
            false => "pg_timezone_names has no zone of that name.".to_owned(),
        },
        instead,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        [
            "Europe/Paris",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "CET",
            "EST5EDT",
            "UTC",
            "localtime",
            "posix/Europe/Paris",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn instead(name: &str) -> Option<String> {
        accepted(name, &known()).expect_err("a refusal").instead
    }

    #[test]
    fn a_zone_is_stored_in_its_own_spelling() {
        assert_eq!(accepted(" europe/paris", &known()), Ok("Europe/Paris".to_owned()));
        assert_eq!(accepted("utc", &known()), Ok("UTC".to_owned()));
        assert_eq!(accepted("EST5EDT", &known()), Ok("EST5EDT".to_owned()));
    }

    #[test]
    fn an_abbreviation_is_refused_even_if_a_zone_file_has_its_name() {
        for name in ["CET", "cet", "CEST"] {
            assert_eq!(instead(name).as_deref(), Some("Europe/Paris"));
        }
        assert_eq!(instead("PST").as_deref(), Some("America/Los_Angeles"));
        let refused = accepted("CET", &known()).expect_err("a refusal");
        assert!(refused.reason.contains("no DST"), "{}", refused.reason);
    }

    #[test]
    fn an_unknown_zone_is_refused_with_a_similar_one() {
        assert_eq!(instead("Europe/Pari").as_deref(), Some("Europe/Paris"));
        assert_eq!(instead("Paris").as_deref(), Some("Europe/Paris"));
        assert_eq!(instead("posix/Europe/Paris").as_deref(), Some("Europe/Paris"));
        for name in ["+02", "UTC+2", "Foo5Bar", "", "localtime"] {
            assert_eq!(instead(name), None, "{name}");
        }
    }
}
