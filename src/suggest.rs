//! Suggestions for misspelt names. Pure.

/// The known names that are close to `key`, closest first, at most three.
///
/// The distance is the optimal string alignment distance (Damerau-Levenshtein without overlapping
/// edits), after lower-casing and with every separator taken as `_`. Allowed are no edits up to 3
/// characters, one edit up to 7, and two beyond.
pub fn similar<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let normalised = normalise(key);
    let allowed = match normalised.len() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    };
    // The distance is at least the difference in length. Comparing each name with a text of a
    // megabyte would take seconds, in which nothing could cancel the statement.
    let length = normalised.chars().count();
    let may_be_near = |candidate: &&str| candidate.chars().count().abs_diff(length) <= allowed;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter(may_be_near)
        .map(|candidate| (strsim::osa_distance(&normalised, &normalise(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, candidate)| candidate.to_owned()).collect()
}

/// As [`similar`]; if no name is close, the names of which `key` is a whole word, several words in
/// a row, or the beginning. Words are separated by anything but letters and digits, and by a
/// capital letter after a small one. At most three, the shortest first.
pub fn similar_or_part<'a>(
    key: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<String> {
    let similar = similar(key, known.clone());
    if !similar.is_empty() {
        return similar;
    }
    let (beginning, typed) = (normalise(key), words(key));
    let is_part = |candidate: &str| {
        normalise(candidate).starts_with(&beginning)
            || (!typed.is_empty()
                && words(candidate).windows(typed.len()).any(|part| part == typed))
    };
    let mut parts: Vec<&str> =
        known.into_iter().filter(|candidate| !key.is_empty() && is_part(candidate)).collect();
    parts.sort_unstable_by_key(|candidate| (candidate.len(), *candidate));
    parts.into_iter().take(3).map(str::to_owned).collect()
}

/// The words of a name, in lower case.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = ' ';
    for c in key.chars() {
        if !c.is_ascii_alphanumeric() || (last.is_ascii_lowercase() && c.is_ascii_uppercase()) {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
        last = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn normalise(key: &str) -> String {
    key.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}

/// The names in double quotes, separated by commas, with `last` before the last one.
pub fn quoted_list(names: &[String], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((one, [])) => one.clone(),
        Some((tail, head)) => format!("{} {last} {tail}", head.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAUNCH: [&str; 13] = [
        "user_registration",
        "basic_matching",
        "messaging",
        "premium_subscriptions",
        "boost_station",
        "tracker_pro",
        "advanced_filters",
        "collaborative_filtering_v2",
        "ai_moderation_auto",
        "voice_messages",
        "group_matching",
        "maintenance_mode",
        "payments_maintenance_mode",
    ];

    #[test]
    fn a_text_of_megabytes_is_compared_with_no_name() {
        let key = "x".repeat(10_000_000);
        let names = ["a_name_of_some_length"; 1_000];
        assert!(similar(&key, names).is_empty());
        assert!(similar_or_part(&key, names).is_empty());
    }

    #[test]
    fn likely_typos() {
        for (typed, meant) in [
            ("mesaging", "messaging"),
            ("messagign", "messaging"),
            ("Tracker-Pro", "tracker_pro"),
            ("premium_subscription", "premium_subscriptions"),
            ("maintenance_mdoe", "maintenance_mode"),
            ("payment_maintenance_mode", "payments_maintenance_mode"),
        ] {
            assert_eq!(similar(typed, LAUNCH), [meant], "{typed}");
        }
    }

    #[test]
    fn new_keys() {
        for key in
            ["problematic_feature", "feature_key", "ski_lift_map", "x", "matching", "tracker"]
        {
            assert!(similar(key, LAUNCH).is_empty(), "{key}");
        }
    }

    #[test]
    fn a_word_or_the_beginning_of_a_key_is_a_likely_typo() {
        for (typed, meant) in [
            ("premium", vec!["premium_subscriptions"]),
            ("registration", vec!["user_registration"]),
            ("payments", vec!["payments_maintenance_mode"]),
            ("maintenance", vec!["maintenance_mode", "payments_maintenance_mode"]),
            ("Matching", vec!["basic_matching", "group_matching"]),
            ("tracker", vec!["tracker_pro"]),
            ("voice-mess", vec!["voice_messages"]),
            ("filtering_v2", vec!["collaborative_filtering_v2"]),
            ("aiModeration", vec!["ai_moderation_auto"]),
            ("m", vec!["messaging", "maintenance_mode"]),
        ] {
            assert_eq!(similar_or_part(typed, LAUNCH), meant, "{typed}");
        }
        assert_eq!(similar_or_part("checkout", ["newCheckoutFlow"]), ["newCheckoutFlow"]);
    }

    #[test]
    fn keys_of_other_words_are_new() {
        for key in
            ["problematic_feature", "feature_key", "ski_lift_map", "x", "pro_matching", "atching"]
        {
            assert!(similar_or_part(key, LAUNCH).is_empty(), "{key}");
        }
        assert!(similar_or_part("messaging_v2", LAUNCH).is_empty());
        assert!(similar_or_part("___", LAUNCH).is_empty());
    }

    #[test]
    fn short_keys_are_close_only_in_another_spelling() {
        assert!(similar("ab", ["ac", "abc"]).is_empty());
        assert_eq!(similar("A.b", ["a_b", "axb"]), ["a_b"]);
    }

    #[test]
    fn launch_keys_are_not_close_to_each_other() {
        for key in LAUNCH {
            assert_eq!(similar(key, LAUNCH), [key]);
        }
    }
}
