//! Counts of a comparison, and their report.

use std::collections::BTreeMap;

/// Counts of the comparison of verdicts.
#[derive(Debug, Default)]
pub struct Tally {
    pub compared: usize,
    pub verdicts: BTreeMap<String, usize>,
    /// Verdicts by role.
    pub roles: BTreeMap<String, usize>,
    /// INCONCLUSIVE verdicts, by reason.
    pub inconclusive: BTreeMap<String, usize>,
    /// Verdicts of safety that were also tested with candidate rows.
    pub with_candidates: usize,
    /// Reaches without a verdict because only a privilege is missing, tried with the privilege.
    pub without_privilege: usize,
    /// Verdicts that rows are granted to a role or claim.
    pub granted: usize,
    /// FAILING verdicts although no statement of the suite failed.
    pub failing_unseen: usize,
    pub wrong: Vec<String>,
}

impl Tally {
    /// The sum of the counts of all threads.
    pub fn sum(tallies: Vec<Self>) -> Self {
        let mut all = Self::default();
        for tally in tallies {
            all.compared += tally.compared;
            all.with_candidates += tally.with_candidates;
            all.without_privilege += tally.without_privilege;
            all.granted += tally.granted;
            all.failing_unseen += tally.failing_unseen;
            all.wrong.extend(tally.wrong);
            add(&mut all.verdicts, tally.verdicts);
            add(&mut all.roles, tally.roles);
            add(&mut all.inconclusive, tally.inconclusive);
        }
        all
    }

    /// Prints the counts and asserts that enough was compared and nothing disagrees.
    pub fn report(&self, seed: u64, count: usize) {
        let inconclusive: usize = self.inconclusive.values().sum();
        println!("{} verdicts compared: {:?}", self.compared, self.verdicts);
        println!("by role: {:?}", self.roles);
        println!("{inconclusive} INCONCLUSIVE: {:?}", self.inconclusive);
        println!("{} verdicts of safety tested with candidate rows", self.with_candidates);
        println!("{} reaches tried with a missing privilege", self.without_privilege);
        println!("{} verdicts say that the policies grant the rows", self.granted);
        println!("{} FAILING although no statement of the suite failed", self.failing_unseen);
        assert_none(&self.wrong, seed, count);
        assert!(self.compared > 5 * count, "too few verdicts were compared: {}", self.compared);
        assert!(
            inconclusive * 50 <= self.compared,
            "too many are INCONCLUSIVE: {inconclusive} of {}",
            self.compared
        );
        assert!(
            self.with_candidates > count,
            "too few were tested with candidate rows: {}",
            self.with_candidates
        );
        assert!(
            self.failing_unseen * 50 <= self.compared,
            "too many are FAILING: {}",
            self.failing_unseen
        );
        for role in ["anon", "authenticated", "staff", "webapp"] {
            let verdicts = self.roles.get(role).copied().unwrap_or_default();
            assert!(verdicts * 4 > count, "too few verdicts of {role}: {verdicts}");
        }
        assert!(self.granted > 0, "no rows are granted to a role");
        assert!(
            self.without_privilege * 10 > count,
            "too few were tried with a missing privilege: {}",
            self.without_privilege
        );
    }
}

fn add(sums: &mut BTreeMap<String, usize>, counts: BTreeMap<String, usize>) {
    for (key, n) in counts {
        *sums.entry(key).or_default() += n;
    }
}

/// Asserts that there is no disagreement, after printing the first twenty.
pub fn assert_none(wrong: &[String], seed: u64, count: usize) {
    println!("{} disagreements", wrong.len());
    for wrong in wrong.iter().take(20) {
        println!("---- {wrong}");
    }
    assert!(wrong.is_empty(), "{} disagreements, seed {seed}, {count} generated", wrong.len());
}
