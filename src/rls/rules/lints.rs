//! Names of the lints in Supabase's linter, by the cache_key that it writes. Pure.

/// The lint of a cache_key, with its number.
#[must_use]
pub fn lint_of(cache_key: &str) -> Option<&'static str> {
    // The lint about queues writes the cache_key of the lint about tables.
    if cache_key.starts_with("rls_disabled_in_public_pgmq_q_") {
        return Some("0019_insecure_queue_exposed_in_api");
    }
    LINTS.iter().find(|(prefix, _)| cache_key.starts_with(prefix)).map(|(_, lint)| *lint)
}

/// Prefix of the cache_key, and lint. The prefix is not always the name.
const LINTS: &[(&str, &str)] = &[
    ("auth_users_exposed_", "0002_auth_users_exposed"),
    ("auth_rls_init_plan_", "0003_auth_rls_initplan"),
    ("multiple_permissive_policies_", "0006_multiple_permissive_policies"),
    ("policy_exists_rls_disabled_", "0007_policy_exists_rls_disabled"),
    ("rls_enabled_no_policy_", "0008_rls_enabled_no_policy"),
    ("security_definer_view_", "0010_security_definer_view"),
    ("function_search_path_mutable_", "0011_function_search_path_mutable"),
    ("rls_disabled_in_public_", "0013_rls_disabled_in_public"),
    ("extension_in_public_", "0014_extension_in_public"),
    ("rls_references_user_metadata_", "0015_rls_references_user_metadata"),
    ("materialized_view_in_api_", "0016_materialized_view_in_api"),
    ("foreign_table_in_api_", "0017_foreign_table_in_api"),
    ("fkey_to_auth_unique_", "0021_fkey_to_auth_unique"),
    ("sensitive_columns_exposed_", "0023_sensitive_columns_exposed"),
    ("rls_policy_always_true_", "0024_rls_policy_always_true"),
    ("public_bucket_allows_listing_", "0025_public_bucket_allows_listing"),
    ("pg_graphql_anon_table_exposed_", "0026_pg_graphql_anon_table_exposed"),
    ("pg_graphql_authenticated_table_exposed_", "0027_pg_graphql_authenticated_table_exposed"),
    (
        "anon_security_definer_function_executable_",
        "0028_anon_security_definer_function_executable",
    ),
    (
        "authenticated_security_definer_function_executable_",
        "0029_authenticated_security_definer_function_executable",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_key_names_its_lint() {
        for (key, lint) in [
            ("auth_rls_init_plan_public_rides_Own rides", "0003_auth_rls_initplan"),
            ("rls_disabled_in_public_public_rides", "0013_rls_disabled_in_public"),
            ("rls_disabled_in_public_pgmq_q_mail", "0019_insecure_queue_exposed_in_api"),
            ("rls_policy_always_true_public_rides_Any", "0024_rls_policy_always_true"),
        ] {
            assert_eq!(lint_of(key), Some(lint), "{key}");
        }
        assert_eq!(lint_of("unused_index_public_rides_i"), None);
    }
}
