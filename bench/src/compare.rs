//! `compare`: the benchmarks of two builds in turn, and the ratios of their figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::Name;

/// Options of a comparison.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Program of the old build.
    old: PathBuf,
    /// Program of the new build.
    new: PathBuf,
    /// Benchmarks to compare; by default all that both builds have.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Number of runs of each build.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Further options for `bench` of both builds, after `--`.
    #[arg(last = true)]
    options: Vec<String>,
}

/// Figures of one run by name, such as `http 64 connections per_second`.
type Figures = BTreeMap<String, f64>;

/// Runs both builds `rounds` times in turn, and prints the ratio new/old of each figure: its median
/// and its spread over the rounds. Which build goes first alternates.
///
/// # Errors
/// A build can't be run, or its benchmark fails.
#[expect(clippy::print_stdout, reason = "the table is the output of the benchmark")]
pub(crate) async fn compare(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("figures.json");
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        tracing::info!("round {} of {}", round + 1, options.rounds);
        let (old, new) = if round % 2 == 0 {
            let old = run(&options.old, options, &file).await?;
            (old, run(&options.new, options, &file).await?)
        } else {
            let new = run(&options.new, options, &file).await?;
            (run(&options.old, options, &file).await?, new)
        };
        rounds.push((old, new));
    }
    println!("{:40} {:>12} {:>12} {:>7}   spread", "figure", "old", "new", "new/old");
    for row in rows(&rounds) {
        println!("{row}");
    }
    Ok(())
}

/// A benchmark that ends its services and servers when the comparison is interrupted.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // A child that has ended has no id.
        if let Some(id) = self.0.id() {
            let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM);
        }
    }
}

/// Runs the benchmarks of a build.
async fn run(program: &Path, options: &Options, file: &Path) -> anyhow::Result<Figures> {
    let names = options.names.iter().filter_map(clap::ValueEnum::to_possible_value);
    let mut bench = Command::new(program);
    let mut bench = Ending(
        bench
            .arg("bench")
            .args(names.map(|name| name.get_name().to_owned()))
            .args(&options.options)
            .arg("--json")
            .arg(file)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?,
    );
    let status = bench.0.wait().await?;
    ensure!(status.success(), "{} bench: {status}", program.display());
    let mut figures = Figures::new();
    flatten("", &serde_json::from_slice(&std::fs::read(file)?)?, &mut figures);
    Ok(figures)
}

/// Collects the numbers of a report. A row of an array is named by its clients, connections or
/// accounts.
fn flatten(name: &str, value: &Value, figures: &mut Figures) {
    match value {
        Value::Object(parts) => {
            for (part, value) in parts {
                flatten(format!("{name} {part}").trim(), value, figures);
            }
        }
        Value::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                let key = ["accounts", "clients", "connections"]
                    .iter()
                    .find_map(|key| Some(format!("{} {key}", row.get(key)?)));
                let key = key.unwrap_or_else(|| index.to_string());
                flatten(&format!("{name} {key}"), row, figures);
            }
        }
        _ => figures.extend(value.as_f64().map(|number| (name.to_owned(), number))),
    }
}

/// Returns a line for each figure that all runs have.
fn rows(rounds: &[(Figures, Figures)]) -> Vec<String> {
    let Some((first, _)) = rounds.first() else { return Vec::new() };
    let line = |name: &String| {
        let pairs: Option<Vec<(f64, f64)>> =
            rounds.iter().map(|(old, new)| Some((*old.get(name)?, *new.get(name)?))).collect();
        let pairs = pairs?;
        let old = median(pairs.iter().map(|(old, _)| *old));
        let new = median(pairs.iter().map(|(_, new)| *new));
        let ratios: Vec<f64> =
            pairs.iter().filter(|(old, _)| *old != 0.0).map(|(old, new)| new / old).collect();
        let least = ratios.iter().copied().reduce(f64::min)?;
        let most = ratios.iter().copied().reduce(f64::max)?;
        let ratio = median(ratios.into_iter());
        Some(format!("{name:40} {old:>12.2} {new:>12.2} {ratio:>7.3}   {least:.3} to {most:.3}"))
    };
    first.keys().filter_map(line).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(value: &Value) -> Figures {
        let mut figures = Figures::new();
        flatten("", value, &mut figures);
        figures
    }

    #[test]
    fn figures_are_named_by_their_rows() {
        let report = json!({
            "http": [{"connections": 64, "per_second": 12.5, "cpu_us": {"kafka": 3}}],
            "verified": true,
        });
        let names: Vec<String> = figures(&report).into_keys().collect();
        assert_eq!(
            names,
            [
                "http 64 connections connections",
                "http 64 connections cpu_us kafka",
                "http 64 connections per_second"
            ]
        );
    }

    #[test]
    fn ratios_are_of_runs_in_one_round() {
        let round = |old: f64, new: f64| {
            (figures(&json!({"a": old, "gone": 1})), figures(&json!({"a": new})))
        };
        let rows = rows(&[round(10.0, 20.0), round(20.0, 30.0), round(100.0, 100.0)]);
        assert_eq!(rows.len(), 1);
        let columns: Vec<&str> = rows[0].split_whitespace().collect();
        assert_eq!(columns, ["a", "20.00", "30.00", "1.500", "1.000", "to", "2.000"]);
    }

    #[test]
    fn an_even_number_of_values_has_the_middle_of_two_as_its_median() {
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < f64::EPSILON);
    }
}
