//! How are many measurements told in few numbers?

use crate::load::Measured;

/// All measurements so far; the first contestant is the unit.
pub(crate) struct Report {
    names: Vec<String>,
    /// For each contestant, one measurement for each pass.
    measured: Vec<Vec<Measured>>,
}

impl Report {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            measured: names.iter().map(|_| Vec::new()).collect(),
        }
    }

    /// Passes come in order.
    pub(crate) fn add(&mut self, contestant: usize, pass: usize, measured: Measured) {
        debug_assert_eq!(self.measured[contestant].len(), pass);
        self.measured[contestant].push(measured);
    }

    /// One line about a finished pass.
    pub(crate) fn progress(&self, pass: usize) {
        let ratios: Vec<String> = (0..self.names.len())
            .map(|which| format!("{} {:.2}", self.names[which], self.ratios(which, |one| one.cpu)[pass]))
            .collect();
        println!("pass {}: CPU per request: {}", pass + 1, ratios.join(", "));
    }

    pub(crate) fn print(&self) {
        println!();
        println!(
            "| Medians of {} interleaved passes | CPU ms per 1,000 | ratio (range) | requests/s | ratio | p50 ms | ratio | p99 ms | ratio |",
            self.measured[0].len()
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        for which in 0..self.names.len() {
            let cpu = self.ratios(which, |one| one.cpu);
            let column = |of: fn(&Measured) -> f64| {
                let value = median(self.measured[which].iter().map(of).collect());
                let ratio = median(self.ratios(which, of));
                format!("{} | {ratio:.2}", significant(value))
            };
            println!(
                "| {} | {} | {:.2} ({:.2} to {:.2}) | {} | {} | {} |",
                self.names[which],
                significant(median(self.measured[which].iter().map(|one| one.cpu).collect())),
                median(cpu.clone()),
                cpu.iter().copied().fold(f64::INFINITY, f64::min),
                cpu.iter().copied().fold(0.0, f64::max),
                column(|one| one.rate),
                column(|one| one.median),
                column(|one| one.p99),
            );
        }
    }

    /// Each pass against the unit in the same pass: what disturbs the machine for longer than a pass cancels out.
    fn ratios(&self, which: usize, of: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.measured[which].iter().zip(&self.measured[0]).map(|(one, unit)| of(one) / of(unit)).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.is_empty() {
        f64::NAN
    } else if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Three digits that matter.
fn significant(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
