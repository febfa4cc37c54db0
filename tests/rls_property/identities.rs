//! The requests that the audit plays, as real sessions play them.

use crate::policies::{Table, user};
use postgres::Client;

/// A request as one user or none.
#[derive(Clone)]
pub struct Identity {
    /// The label of the identity in rls_matrix.
    pub label: String,
    pub role: &'static str,
    pub user: Option<String>,
    /// The claims as JSON; `None` for a session in which no claim was ever set.
    pub claims: Option<String>,
}

/// The id of an account that does not exist.
pub const NEW_USER: &str = "5f0c8bb6-58c5-4f6a-9d6e-0c5c1d1b9f3a";

impl Identity {
    fn new(
        label: String,
        role: &'static str,
        user: Option<String>,
        claims: Option<String>,
    ) -> Self {
        Self { label, role, user, claims }
    }

    /// Whether a setting of the audit names the role as one of clients.
    pub fn is_client(&self) -> bool {
        ["anon", "authenticated"].contains(&self.role)
    }

    /// Whether it is an account of app.sql.
    pub fn is_account(&self) -> bool {
        self.label.contains(" as user ")
    }
}

/// The claims of a user, in the form of Supabase's.
fn claims(role: &str, id: &str, [email, app, user, is_anonymous]: [&str; 4]) -> String {
    format!(
        r#"{{"sub": "{id}", "role": "{role}", "aud": "{role}", "aal": "aal1",
            "email": "{email}",
            "app_metadata": {app}, "user_metadata": {user}, "is_anonymous": {is_anonymous}}}"#
    )
}

/// All identities: those without an account of each role, and one for each account of app.sql.
pub fn identities(client: &mut Client) -> Vec<Identity> {
    let anonymous_key = Some(r#"{"role": "anon"}"#.into());
    let mut identities = vec![
        Identity::new("anon without claims".into(), "anon", None, None),
        Identity::new("anon with the anonymous key".into(), "anon", None, anonymous_key),
    ];
    for role in ["authenticated", "staff", "webapp"] {
        let of_new = |is_anonymous| claims(role, NEW_USER, ["", "{}", "{}", is_anonymous]);
        let only_role = format!(r#"{{"role": "{role}"}}"#);
        for (label, user, claims) in [
            ("without claims", None, None),
            ("without a user", None, Some(only_role)),
            ("as a new account", Some(NEW_USER), Some(of_new("false"))),
            ("as an anonymous sign-in", Some(NEW_USER), Some(of_new("true"))),
            ("with a second factor", Some(NEW_USER), Some(of_new("false").replace("aal1", "aal2"))),
        ] {
            let user = user.map(str::to_owned);
            identities.push(Identity::new(format!("{role} {label}"), role, user, claims));
        }
    }
    for number in 1..=7 {
        let id = user(number);
        let row = client
            .query_one(
                &format!(
                    "SELECT substr(md5(id::text), 1, 8), coalesce(email, ''),
                        coalesce(raw_app_meta_data, '{{}}')::text,
                        coalesce(raw_user_meta_data, '{{}}')::text, is_anonymous::text
                     FROM auth.users WHERE id = '{id}'"
                ),
                &[],
            )
            .expect("an account");
        let text = |i: usize| row.get::<_, String>(i);
        let (email, app, of_user, is_anonymous) = (text(1), text(2), text(3), text(4));
        let claims = claims("authenticated", &id, [&email, &app, &of_user, &is_anonymous]);
        let label = format!("authenticated as user {}", text(0));
        identities.push(Identity::new(label, "authenticated", Some(id), Some(claims)));
    }
    identities
}

/// The team that the audit tries as one that no row has.
pub const UNKNOWN_TEAM: &str = "-2147483646";

/// A new account with tried claims, from a label such as `authenticated with app_metadata.team of
/// row 1`; `None` for other labels.
pub fn with_claims(new_account: &Identity, label: &str, table: &Table) -> Option<Identity> {
    let mut claims: serde_json::Value =
        serde_json::from_str(new_account.claims.as_ref()?).expect("claims are JSON");
    let prefix = format!("{} with ", new_account.role);
    for assignment in label.strip_prefix(&prefix)?.split(", ") {
        let (path, value) = if let Some((path, value)) = assignment.split_once(" = ") {
            (path, value.to_owned())
        } else if let Some((path, number)) = assignment.split_once(" of row ") {
            // The column that the policies compare with the claim.
            let column = if path.ends_with("friends") { "owner" } else { "team" };
            let mut values: Vec<&str> = Vec::new();
            for value in table.rows.iter().map(|row| row.get(column).trim_matches('\'')) {
                if value != "NULL" && !values.contains(&value) {
                    values.push(value);
                }
            }
            (path, (*values.get(number.parse::<usize>().ok()? - 1)?).to_owned())
        } else {
            let path = assignment.strip_prefix("any ")?;
            let is_number = path.ends_with("team");
            (path, if is_number { UNKNOWN_TEAM } else { "crewsnow-ops" }.to_owned())
        };
        let mut place = &mut claims;
        for key in path.split('.') {
            place = &mut place[key];
        }
        *place = value.into();
    }
    Some(Identity {
        label: label.to_owned(),
        claims: Some(claims.to_string()),
        ..new_account.clone()
    })
}
