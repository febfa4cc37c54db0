//! The measures that crewsnow_ops.criteria.measures may list.

/// A way to evaluate a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The end-to-end tests registered for the criterion.
    Tests,
    /// The audit of row-level security.
    Rls,
    /// Stripe webhooks of the last 24 hours.
    Webhooks,
    /// Function calls of the last ten minutes.
    Telemetry,
    /// Evaluation of alert rules. Needs recorded evidence.
    AlertRules,
    /// Delivery of alerts. Needs recorded evidence.
    DeliveryQueue,
    /// Open critical incidents. Needs recorded evidence.
    OpenIncidents,
    /// Escalations to level 3. Needs recorded evidence.
    RecentEscalations,
    /// Rows of crewsnow_ops.freezes.
    Freeze,
    /// Feature flags compared with the launch plan.
    Flags,
    /// Errors of function calls in the last ten minutes.
    ErrorRate,
    /// Execution times of function calls in the last hour.
    Latency,
    /// CRITICAL findings of the health checks.
    Health,
    /// The lag of the standby that decides.
    Replica,
    /// Records that are newer than the clock.
    Clock,
    /// The ledger of erasures, compared with the accounts.
    Erasures,
    /// Any criterion of a team's own. Needs recorded evidence.
    Evidence,
}

impl Measure {
    /// In the order of the CHECK constraint `criteria_measures_check`.
    pub const ALL: [Self; 17] = [
        Self::Tests,
        Self::Rls,
        Self::Webhooks,
        Self::Telemetry,
        Self::AlertRules,
        Self::DeliveryQueue,
        Self::OpenIncidents,
        Self::RecentEscalations,
        Self::Freeze,
        Self::Flags,
        Self::ErrorRate,
        Self::Latency,
        Self::Health,
        Self::Replica,
        Self::Clock,
        Self::Erasures,
        Self::Evidence,
    ];

    /// The name in crewsnow_ops.criteria.measures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Rls => "rls",
            Self::Webhooks => "webhooks",
            Self::Telemetry => "telemetry",
            Self::AlertRules => "alert-rules",
            Self::DeliveryQueue => "delivery-queue",
            Self::OpenIncidents => "open-incidents",
            Self::RecentEscalations => "recent-escalations",
            Self::Freeze => "freeze",
            Self::Flags => "flags",
            Self::ErrorRate => "error-rate",
            Self::Latency => "latency",
            Self::Health => "health",
            Self::Replica => "replica",
            Self::Clock => "clock",
            Self::Erasures => "erasures",
            Self::Evidence => "evidence",
        }
    }

    /// `None` for a name that the CHECK constraint does not admit.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == name)
    }

    /// Whether the database cannot measure it, so that recorded evidence decides.
    #[must_use]
    pub fn needs_evidence(self) -> bool {
        match self {
            Self::AlertRules
            | Self::DeliveryQueue
            | Self::OpenIncidents
            | Self::RecentEscalations
            | Self::Evidence => true,
            Self::Tests
            | Self::Rls
            | Self::Webhooks
            | Self::Telemetry
            | Self::Freeze
            | Self::Flags
            | Self::ErrorRate
            | Self::Latency
            | Self::Health
            | Self::Replica
            | Self::Clock
            | Self::Erasures => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_constraint_lists_every_measure() {
        let schema = include_str!("../../../sql/schema/50_readiness.sql");
        let (_, constraint) =
            schema.split_once("criteria_measures_check CHECK (").expect("the constraint");
        let (_, list) = constraint.split_once("ARRAY[").expect("its list");
        let (list, _) = list.split_once(']').expect("the end of its list");
        let listed: Vec<_> = list.split(',').map(|name| name.trim().trim_matches('\'')).collect();
        assert_eq!(listed, Measure::ALL.map(Measure::as_str));
    }

    #[test]
    fn each_name_parses_to_its_measure() {
        for measure in Measure::ALL {
            assert_eq!(Measure::parse(measure.as_str()), Some(measure));
        }
        assert_eq!(Measure::parse("vibes"), None);
    }
}
