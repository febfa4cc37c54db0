//! The value of a subject at one evaluation.

/// A value, or none that can be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// A value, never NaN.
    Value {
        /// The value.
        value: f64,
        /// Its samples; `None` if the rule does not count them.
        samples: Option<i64>,
    },
    /// NULL, NaN, too few samples, or no row.
    NoData,
}

impl Reading {
    /// The reading of a row. NULL samples are none.
    #[must_use]
    pub fn of(value: Option<f64>, samples: Option<i64>, min_samples: i64) -> Self {
        match value {
            Some(value) if !value.is_nan() && samples.unwrap_or(0) >= min_samples => {
                Self::Value { value, samples }
            }
            _ => Self::NoData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reading;

    #[test]
    fn values_that_cannot_be_used_are_no_data() {
        assert_eq!(Reading::of(None, None, 0), Reading::NoData);
        assert_eq!(Reading::of(Some(f64::NAN), Some(9), 0), Reading::NoData);
        assert_eq!(Reading::of(Some(100.0), Some(19), 20), Reading::NoData);
        assert_eq!(Reading::of(Some(100.0), None, 20), Reading::NoData);
        let value = Reading::Value { value: f64::INFINITY, samples: Some(20) };
        assert_eq!(Reading::of(Some(f64::INFINITY), Some(20), 20), value);
    }
}
