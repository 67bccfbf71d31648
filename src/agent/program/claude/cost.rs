//! What one turn used and cost, from results whose counters run on.
//!
//! Newer programs say what was used since the last result. Older ones only give totals of the process, from 0 at its start;
//! a total that fell means that they started anew.

use serde_json::Value;

use crate::agent::chat::Usage;

/// The counters of one process.
#[derive(Debug, Default)]
pub(super) struct Meter {
    total: Counters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counters {
    usage: Usage,
    cost: f64,
}

impl Meter {
    /// Returns tokens and dollars since the last result.
    pub(super) fn step(&mut self, result: &Value) -> (Usage, f64) {
        let mut total = Counters::sum(&result["modelUsage"]);
        // Older programs leave calls that were cut off out of the sum of models.
        total.cost = dollars(&result["total_cost_usd"]).unwrap_or(total.cost);
        let since = &result["model_usage_since_last_result"];
        let turn = if since.is_object() { Counters::sum(since) } else { total.since(self.total) };
        self.total = total;
        (turn.usage, turn.cost)
    }
}

impl Counters {
    fn sum(models: &Value) -> Self {
        let mut sum = Self::default();
        for model in models.as_object().into_iter().flat_map(serde_json::Map::values) {
            let count = |name: &str| model[name].as_u64().unwrap_or(0);
            let usage = &mut sum.usage;
            usage.input_tokens = usage.input_tokens.saturating_add(count("inputTokens"));
            usage.output_tokens = usage.output_tokens.saturating_add(count("outputTokens"));
            usage.cache_read_tokens = usage.cache_read_tokens.saturating_add(count("cacheReadInputTokens"));
            usage.cache_write_tokens = usage.cache_write_tokens.saturating_add(count("cacheCreationInputTokens"));
            sum.cost += dollars(&model["costUSD"]).unwrap_or(0.0);
        }
        sum
    }

    fn since(self, before: Self) -> Self {
        let (now, then) = (self.usage, before.usage);
        let fell =
            self.cost < before.cost || now.input_tokens < then.input_tokens || now.output_tokens < then.output_tokens;
        if fell {
            return self;
        }
        Self {
            usage: Usage {
                input_tokens: now.input_tokens.saturating_sub(then.input_tokens),
                output_tokens: now.output_tokens.saturating_sub(then.output_tokens),
                cache_read_tokens: now.cache_read_tokens.saturating_sub(then.cache_read_tokens),
                cache_write_tokens: now.cache_write_tokens.saturating_sub(then.cache_write_tokens),
            },
            cost: self.cost - before.cost,
        }
    }
}

/// A sum of money that can be believed.
fn dollars(value: &Value) -> Option<f64> {
    value.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(total: f64, input: u64) -> Value {
        json!({"total_cost_usd": total, "modelUsage": {"m": {"inputTokens": input, "outputTokens": 2, "costUSD": total}}})
    }

    #[test]
    fn older_programs_are_metered_by_differences() {
        let mut meter = Meter::default();
        let mut cost = |total, input| {
            let (usage, cost) = meter.step(&result(total, input));
            (usage.input_tokens, (cost * 1000.0).round())
        };
        assert_eq!(cost(0.010, 100), (100, 10.0));
        assert_eq!(cost(0.025, 250), (150, 15.0));
        assert_eq!(cost(0.004, 40), (40, 4.0), "a lower total is a new start");
    }

    #[test]
    fn newer_programs_say_it_themselves() {
        let mut meter = Meter::default();
        // The first result of a resumed process has the totals of its predecessors.
        let mut first = result(0.040, 400);
        first["model_usage_since_last_result"] =
            json!({"m": {"inputTokens": 100, "outputTokens": 1, "costUSD": 0.01}, "n": {"inputTokens": 5}});
        let (usage, cost) = meter.step(&first);
        assert_eq!((usage.input_tokens, usage.output_tokens, cost), (105, 1, 0.01));
        first["model_usage_since_last_result"] = json!({});
        assert_eq!(meter.step(&first), (Usage::default(), 0.0));
    }

    #[test]
    fn nonsense_costs_nothing() {
        let mut meter = Meter::default();
        let nonsense = json!({"total_cost_usd": -5.0, "modelUsage": {"m": {"costUSD": "much", "inputTokens": -1}}});
        assert_eq!(meter.step(&nonsense), (Usage::default(), 0.0));
        assert_eq!(meter.step(&json!(null)), (Usage::default(), 0.0));
    }
}
