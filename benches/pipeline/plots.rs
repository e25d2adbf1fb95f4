//! Plots over the offered load: throughput, lag, and CPU time per packet.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use SeriesLabelPosition::{LowerRight, UpperRight};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

/// Offered loads, as shares of the capacity.
pub(crate) const LOADS: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 2.0, 3.0];
/// Width, and height of one plot.
const SIZE: (u32, u32) = (760, 280);
const COLORS: [RGBColor; 2] = [RGBColor(64, 84, 214), RGBColor(214, 108, 38)];

/// What became of one offered load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Packets per second.
    pub(crate) offered: f64,
    pub(crate) rate: f64,
    pub(crate) cpu_micros: f64,
    /// Median and 99th percentile.
    pub(crate) lag_ms: [f64; 2],
}

pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<Point>,
}

/// Draws the plots below each other, as SVG.
pub(crate) fn draw(file: &Path, cpu: &str, all: &[Series<'_>]) {
    let root = SVGBackend::new(file, (SIZE.0, 3 * SIZE.1)).into_drawing_area();
    root.fill(&WHITE).expect("room");
    let areas = root.split_evenly((3, 1));
    let points = || all.iter().flat_map(|series| &series.points);
    let max = |value: fn(&Point) -> f64| points().map(value).fold(0.0, f64::max) * 1.05;
    let offered = 0.0..max(|point| point.offered) / 1e3;
    let title = format!("Packets per second that leave, in thousands. {cpu}");
    let rates = 0.0..max(|point| point.rate) / 1e3;
    plot(&areas[0], &title, (offered.clone(), rates), LowerRight, all, |point| point.rate / 1e3);
    let title = "Lag behind the schedule in ms, 99th percentile";
    let lags = (0.1..max(|point| point.lag_ms[1])).log_scale();
    plot(&areas[1], title, (offered.clone(), lags), LowerRight, all, |point| point.lag_ms[1]);
    let times = 0.0..max(|point| point.cpu_micros);
    plot(&areas[2], "CPU time in µs for each packet", (offered, times), UpperRight, all, |point| point.cpu_micros);
    root.present().expect("room for the file");
}

fn plot<Y>(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    (offered, values): (Range<f64>, Y),
    legend: SeriesLabelPosition,
    all: &[Series<'_>],
    value: fn(&Point) -> f64,
) where
    Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(offered, values)
        .expect("room");
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("offered packets per second, in thousands")
        .draw()
        .expect("room");
    for (series, color) in all.iter().zip(COLORS) {
        let points = series.points.iter().map(|point| (point.offered / 1e3, value(point)));
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))
            .expect("room")
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        chart.draw_series(points.map(|point| Circle::new(point, 3, color.filled()))).expect("room");
    }
    chart.configure_series_labels().background_style(WHITE).position(legend).draw().expect("room");
}
