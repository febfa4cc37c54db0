//! A flag and its decision. Pure.

use super::bucket::{Group, UserId};
use std::cmp::Ordering;

/// The longest flag key, in characters.
pub const MAX_KEY_LENGTH: usize = 100;

/// A defect of a flag key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// No characters.
    #[error("flag key must not be empty")]
    Empty,
    /// More than [`MAX_KEY_LENGTH`] characters; the number.
    #[error("flag key is too long")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("flag key contains a character that is not allowed")]
    Character(char),
}

impl InvalidKey {
    /// The DETAIL: the defect and the rule.
    pub fn detail(&self) -> String {
        match self {
            Self::Empty => format!("A flag key has 1 to {MAX_KEY_LENGTH} characters."),
            Self::TooLong(length) => {
                format!("The key has {length} characters; at most {MAX_KEY_LENGTH} are allowed.")
            }
            Self::Character(c) => {
                format!(
                    "The key contains {c:?}. Allowed are letters a to z in either case, digits, \
                     and . _ ~ -"
                )
            }
        }
    }
}

/// Checks a flag key: 1 to 100 characters that a URL carries unescaped (RFC 3986 "unreserved").
/// Such a key can be typed, logged and put into a path anywhere. The CHECK constraint has the same
/// rule.
pub fn validate_key(key: &str) -> Result<(), InvalidKey> {
    let length = key.chars().count();
    if length == 0 {
        return Err(InvalidKey::Empty);
    }
    if length > MAX_KEY_LENGTH {
        return Err(InvalidKey::TooLong(length));
    }
    match key.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-'))) {
        Some(c) => Err(InvalidKey::Character(c)),
        None => Ok(()),
    }
}

/// Whether a row with this updated_at was read before the present one was written, both in
/// microseconds.
///
/// Clients round: JavaScript to milliseconds, some formats to seconds. A time that is the present
/// one rounded is not older.
pub fn is_stale(saved: i64, present: i64) -> bool {
    let is_rounded = |unit: i64| saved % unit == 0 && (present - saved).abs() < unit;
    saved < present && !is_rounded(1_000) && !is_rounded(1_000_000)
}

/// Conditions on the user. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targeting {
    /// Premium users only.
    pub premium_only: bool,
    /// One of these regions; `None` for all regions, an empty list for no user.
    pub regions: Option<Vec<Vec<u8>>>,
    /// At least one of these segments; `None` for all users, an empty list for no user.
    pub segments: Option<Vec<Vec<u8>>>,
}

impl Targeting {
    /// Whether no condition is set.
    pub fn is_empty(&self) -> bool {
        !self.premium_only && self.regions.is_none() && self.segments.is_none()
    }

    /// Whether `user` fulfils every condition.
    pub fn admits(&self, user: &UserContext) -> bool {
        (!self.premium_only || user.premium)
            && self.regions.as_ref().is_none_or(|regions| {
                user.region.as_ref().is_some_and(|region| regions.contains(region))
            })
            && self.segments.as_ref().is_none_or(|segments| {
                user.segments.iter().any(|segment| segments.contains(segment))
            })
    }
}

/// The properties of a user that targeting compares. Strings are bytes in the database encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserContext {
    /// Has a premium subscription.
    pub premium: bool,
    /// The region of the user; `None` passes no region condition.
    pub region: Option<Vec<u8>>,
    /// The segments that the user belongs to.
    pub segments: Vec<Vec<u8>>,
}

/// The properties of a user, as far as they could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// The user's row.
    Known(UserContext),
    /// The user has no row.
    Unknown,
    /// Another session has locked the rows.
    Locked,
}

/// The user that a flag is evaluated for.
pub trait User {
    /// The id as a uuid, by which lists and targeting know users; `None` for another kind of id.
    fn uuid(&self) -> Option<&UserId>;
    /// The bucket in a group, 1 to 100.
    fn bucket(&self, group: &Group) -> u8;
}

impl User for UserId {
    #[inline(always)]
    fn uuid(&self) -> Option<&UserId> {
        Some(self)
    }

    #[inline(always)]
    fn bucket(&self, group: &Group) -> u8 {
        super::bucket::bucket(group, self)
    }
}

/// A user id that is no uuid, hashed byte by byte as it is.
#[derive(Debug, Clone, Copy)]
pub struct TextId<'a>(pub &'a [u8]);

impl User for TextId<'_> {
    fn uuid(&self) -> Option<&UserId> {
        None
    }

    fn bucket(&self, group: &Group) -> u8 {
        super::bucket::bucket_of_text(group, self.0)
    }
}

/// A flag, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Flag {
    enabled: bool,
    percentage: u8,
    group: Group,
    listed: Box<[UserId]>,
    targeting: Option<Box<Targeting>>,
}

impl Flag {
    /// A flag from its row. A percentage outside 0 to 100 counts as 0: a broken flag is off. (The
    /// table refuses such a percentage.)
    pub fn new(
        enabled: bool,
        percentage: i32,
        group: &[u8],
        mut listed: Vec<UserId>,
        targeting: Targeting,
    ) -> Self {
        listed.sort_unstable();
        listed.dedup();
        Self {
            enabled,
            percentage: u8::try_from(percentage).ok().filter(|p| *p <= 100).unwrap_or(0),
            group: Group::new(group),
            listed: listed.into_boxed_slice(),
            targeting: (!targeting.is_empty()).then(|| Box::new(targeting)),
        }
    }

    /// Decides as [`Flag::decide`] does, if the flag has no targeting.
    #[inline(always)]
    pub fn decide_without_context(&self, user: Option<&UserId>) -> Option<Decision> {
        if self.targeting.is_some() { None } else { Some(self.decide(user, |_| Context::Unknown)) }
    }

    /// Decides for one user, or without one. `context` is called only if targeting needs it; a user
    /// without a context fails every condition.
    #[inline]
    pub fn decide<U: User>(
        &self,
        user: Option<&U>,
        context: impl FnOnce(&UserId) -> Context,
    ) -> Decision {
        if !self.enabled {
            return Decision::Disabled;
        }
        if let Some(user) = user
            && !self.listed.is_empty()
            && user.uuid().is_some_and(|id| self.listed.binary_search(id).is_ok())
        {
            return Decision::TargetUser;
        }
        if let Some(targeting) = &self.targeting {
            let Some(user) = user else { return Decision::NoUser };
            match user.uuid().map_or(Context::Unknown, context) {
                Context::Locked => return Decision::ContextLocked,
                Context::Unknown => return Decision::UnknownUser,
                Context::Known(context) if !targeting.admits(&context) => {
                    return Decision::NotTargeted;
                }
                Context::Known(_) => {}
            }
        }
        match (self.percentage, user) {
            (100, _) => Decision::FullRollout,
            (0, _) => Decision::ZeroRollout,
            (_, None) => Decision::NoUser,
            (percentage, Some(user)) => {
                let bucket = user.bucket(&self.group);
                match bucket.cmp(&percentage) {
                    Ordering::Greater => Decision::OutsideRollout(bucket),
                    _ => Decision::InRollout(bucket),
                }
            }
        }
    }
}

/// The outcome of an evaluation, with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The flag does not exist.
    FlagNotFound,
    /// The flag is disabled, which overrides everything else.
    Disabled,
    /// The user is listed in target_user_ids.
    TargetUser,
    /// The decision needs a user and none was given.
    NoUser,
    /// Targeting applies and the user has no context.
    UnknownUser,
    /// Targeting applies, and the user's context is locked by another session.
    ContextLocked,
    /// Targeting excludes the user.
    NotTargeted,
    /// 100 %.
    FullRollout,
    /// 0 %.
    ZeroRollout,
    /// The user's bucket is within the percentage.
    InRollout(u8),
    /// The user's bucket is above the percentage.
    OutsideRollout(u8),
}

impl Decision {
    /// Whether the feature is on.
    #[inline]
    pub fn is_on(self) -> bool {
        matches!(self, Self::TargetUser | Self::FullRollout | Self::InRollout(_))
    }

    /// The reason as feature-flag specifications name it, and as a sentence.
    pub fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::FlagNotFound => ("FLAG_NOT_FOUND", "the flag does not exist"),
            Self::Disabled => ("DISABLED", "the flag is disabled"),
            Self::TargetUser => ("TARGETING_MATCH", "the user is listed in target_user_ids"),
            Self::NoUser => {
                ("TARGETING_KEY_MISSING", "the flag depends on the user, and no user was given")
            }
            Self::UnknownUser => (
                "TARGETING_MISMATCH",
                "the flag is targeted, and the user has no row in crewsnow_ops.user_context",
            ),
            Self::ContextLocked => {
                ("ERROR", "the flag is targeted, and crewsnow_ops.user_context is locked")
            }
            Self::NotTargeted => {
                ("TARGETING_MISMATCH", "the user does not meet the flag's targeting")
            }
            Self::FullRollout => ("STATIC", "the flag is rolled out to 100 %"),
            Self::ZeroRollout => ("STATIC", "the flag is rolled out to 0 %"),
            Self::InRollout(_) => ("SPLIT", "the user's bucket is within the rollout percentage"),
            Self::OutsideRollout(_) => {
                ("SPLIT", "the user's bucket is above the rollout percentage")
            }
        }
    }

    /// The user's bucket, 1 to 100, if the decision used it.
    pub fn bucket(self) -> Option<u8> {
        match self {
            Self::InRollout(bucket) | Self::OutsideRollout(bucket) => Some(bucket),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USER: UserId = [7; 16];

    fn flag(enabled: bool, percentage: i32, listed: Vec<UserId>, targeting: Targeting) -> Flag {
        Flag::new(enabled, percentage, b"flag", listed, targeting)
    }

    fn no_context(_: &UserId) -> Context {
        Context::Unknown
    }

    fn premium() -> Targeting {
        Targeting { premium_only: true, ..Targeting::default() }
    }

    #[test]
    fn the_order_of_the_rules() {
        let open = Targeting::default();
        let cases = [
            (flag(false, 100, vec![USER], open.clone()), Some(USER), Decision::Disabled),
            (flag(true, 0, vec![USER], premium()), Some(USER), Decision::TargetUser),
            (flag(true, 100, vec![], premium()), Some(USER), Decision::UnknownUser),
            (flag(true, 100, vec![], premium()), None, Decision::NoUser),
            (flag(true, 100, vec![], open.clone()), None, Decision::FullRollout),
            (flag(true, 0, vec![], open.clone()), Some(USER), Decision::ZeroRollout),
            (flag(true, 0, vec![], open.clone()), None, Decision::ZeroRollout),
            (flag(true, 50, vec![], open.clone()), None, Decision::NoUser),
            (flag(true, 101, vec![], open.clone()), Some(USER), Decision::ZeroRollout),
            (flag(true, -1, vec![], open), Some(USER), Decision::ZeroRollout),
        ];
        for (flag, user, expected) in cases {
            assert_eq!(flag.decide(user.as_ref(), no_context), expected, "{flag:?}");
        }
    }

    #[test]
    fn targeting_needs_every_condition_that_is_set() {
        let context = UserContext {
            premium: true,
            region: Some(b"FR".to_vec()),
            segments: vec![b"beta".to_vec()],
        };
        let all = Targeting {
            premium_only: true,
            regions: Some(vec![b"CH".to_vec(), b"FR".to_vec()]),
            segments: Some(vec![b"beta".to_vec(), b"staff".to_vec()]),
        };
        assert!(all.admits(&context));
        assert!(!all.admits(&UserContext { premium: false, ..context.clone() }));
        assert!(!all.admits(&UserContext { region: Some(b"AT".to_vec()), ..context.clone() }));
        assert!(!all.admits(&UserContext { region: None, ..context.clone() }));
        assert!(!all.admits(&UserContext { segments: vec![], ..context.clone() }));
        assert!(Targeting::default().admits(&UserContext::default()));
    }

    #[test]
    fn a_list_without_members_admits_nobody() {
        let user = UserContext {
            premium: true,
            region: Some(b"FR".to_vec()),
            segments: vec![b"beta".to_vec()],
        };
        for targeting in [
            Targeting { regions: Some(vec![]), ..Targeting::default() },
            Targeting { segments: Some(vec![]), ..Targeting::default() },
        ] {
            assert!(!targeting.is_empty() && !targeting.admits(&user));
            let flag = flag(true, 100, vec![], targeting);
            assert!(!flag.decide(Some(&USER), |_| Context::Known(user.clone())).is_on());
            assert_eq!(flag.decide(None::<&UserId>, |_| Context::Unknown), Decision::NoUser);
        }
    }

    #[test]
    fn a_rounded_time_is_not_stale() {
        let present = 1_234_567_890_123_456;
        assert!(!is_stale(present, present) && !is_stale(present + 1, present));
        assert!(!is_stale(1_234_567_890_123_000, present), "milliseconds");
        assert!(!is_stale(1_234_567_890_000_000, present), "seconds");
        assert!(is_stale(present - 1, present));
        assert!(is_stale(1_234_567_890_122_000, present), "the millisecond before");
        assert!(is_stale(1_234_567_889_000_000, present), "the second before");
    }

    #[test]
    fn a_text_id_is_bucketed_and_never_listed_or_targeted() {
        let id = TextId(b"auth0|5f7c");
        let half = flag(true, 50, vec![USER], Targeting::default());
        assert!(half.decide(Some(&id), no_context).bucket().is_some());
        let targeted = flag(true, 100, vec![], premium());
        assert_eq!(targeted.decide(Some(&id), no_context), Decision::UnknownUser);
        assert_eq!(targeted.decide(Some(&USER), |_| Context::Locked), Decision::ContextLocked);
    }

    #[test]
    fn context_is_asked_only_when_targeting_needs_it() {
        let untargeted = flag(true, 50, vec![], Targeting::default());
        untargeted.decide(Some(&USER), |_| unreachable!("no targeting needs no context"));
        let disabled = flag(false, 50, vec![], premium());
        disabled.decide(Some(&USER), |_| unreachable!("a disabled flag needs no context"));
    }

    #[test]
    fn keys() {
        assert_eq!(validate_key("tracker_pro"), Ok(()));
        assert_eq!(validate_key("V2.tracker~pro-beta"), Ok(()));
        assert_eq!(validate_key(&"k".repeat(100)), Ok(()));
        assert_eq!(validate_key(""), Err(InvalidKey::Empty));
        assert_eq!(validate_key(&"k".repeat(101)), Err(InvalidKey::TooLong(101)));
        assert_eq!(validate_key(&"é".repeat(10_240)), Err(InvalidKey::TooLong(10_240)));
        for (key, character) in [
            ("l'été", '\''),
            ("a\nb", '\n'),
            ("\"x\"", '"'),
            ("лыжи", 'л'),
            ("a b", ' '),
            ("a:b", ':'),
        ] {
            assert_eq!(validate_key(key), Err(InvalidKey::Character(character)));
        }
    }

    proptest! {
        #[test]
        fn a_disabled_flag_is_off_for_everyone(
            percentage in -5..110,
            user: UserId,
            listed: Vec<UserId>,
            premium_only: bool,
        ) {
            let targeting = Targeting { premium_only, ..Targeting::default() };
            let flag = Flag::new(false, percentage, b"f", listed, targeting);
            let known = |_: &UserId| Context::Known(UserContext::default());
            prop_assert!(!flag.decide(Some(&user), known).is_on());
        }

        #[test]
        fn a_user_stays_in_as_the_percentage_grows(
            user: UserId,
            low in 0..=100_i32,
            high in 0..=100_i32,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let on = |percentage| {
                let flag = flag(true, percentage, vec![], Targeting::default());
                flag.decide(Some(&user), no_context).is_on()
            };
            prop_assert!(!on(low) || on(high));
        }

        #[test]
        fn listed_users_are_always_in(
            mut listed: Vec<UserId>,
            user: UserId,
            percentage in 0..=100,
        ) {
            listed.push(user);
            let flag = flag(true, percentage, listed, premium());
            prop_assert!(flag.decide(Some(&user), no_context).is_on());
        }
    }
}
