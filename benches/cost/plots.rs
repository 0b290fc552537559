//! Draws the plots in `docs`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::pin;
use crate::{Bench, fill, median};

impl Bench {
    /// A warm `get` by the number of routes, and the slowest of some cold ones at once.
    pub(crate) fn plots(&self) {
        let machine = machine();
        pin();
        let warm = self.glibc.with("GHAPP_CACHE", "file");
        assert!(warm.answers());
        let routes = self.folder.path().join("home/.cache/git-credential-ghapp/routes");
        let (mut there, mut by_routes) = (1_u32, Vec::new());
        for count in [1_u32, 10, 100, 1000, 10_000] {
            fill(&routes, there..count);
            there = count;
            let medians = self.medians(&[("empty", self.empty.clone()), ("warm", warm.clone())]);
            by_routes.push((f64::from(count), medians[1].0.as_secs_f64() / medians[0].0.as_secs_f64()));
        }
        let mut by_callers = Vec::new();
        for callers in [1, 2, 4, 8, 16, 32, 64] {
            let mut times: Vec<Duration> =
                (0..5).map(|round| self.at_once(callers, &format!("callers{callers}-{round}"))).collect();
            by_callers.push((f64::from(callers), median(&mut times).as_secs_f64() * 1000.0));
        }
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        draw(
            &docs.join("cost-by-routes.svg"),
            "a warm get, times an empty process",
            "routes remembered",
            &machine,
            &by_routes,
        );
        draw(
            &docs.join("cost-by-callers.svg"),
            "the slowest of cold gets at once, ms",
            "callers",
            &machine,
            &by_callers,
        );
        println!("{by_routes:?}\n{by_callers:?}\n{machine}");
    }
}

/// Processor, kernel and versions, for the plots.
fn machine() -> String {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let version = |text: String| text.split(" (").next().unwrap_or_default().to_owned();
    format!(
        "{cores}-core {} virtual machine, Linux {}, {}, {}",
        std::env::consts::ARCH,
        said("uname", "-r").split('-').next().unwrap_or_default(),
        version(said("rustc", "--version")),
        said("git", "--version")
    )
}

/// A line through points, over a logarithmic axis.
fn draw(file: &Path, title: &str, axis: &str, machine: &str, points: &[(f64, f64)]) {
    use plotters::prelude::*;
    let root = SVGBackend::new(file, (720, 400)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let highest = points.iter().map(|(_, y)| *y).fold(0.0, f64::max) * 1.2;
    let last = points.last().unwrap().0;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(48)
        .build_cartesian_2d((1.0..last).log_scale(), 0.0..highest)
        .unwrap();
    chart
        .configure_mesh()
        .x_desc(format!("{axis} — {machine}"))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()
        .unwrap();
    chart.draw_series(LineSeries::new(points.iter().copied(), &BLUE)).unwrap();
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled()))).unwrap();
    root.present().unwrap();
}
