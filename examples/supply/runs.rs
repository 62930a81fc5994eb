//! Runs of scenes with several seeds, each of which is made once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::scene::Scene;
use crate::tally::Tally;
use crate::world::World;

/// The results of all runs so far, by their scene.
pub(crate) struct Runs {
    seeds: u64,
    is_brief: bool,
    known: Mutex<HashMap<String, Vec<Tally>>>,
}

/// A mean over seeds, with the standard deviation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) mean: f64,
    spread: f64,
}

impl Runs {
    pub(crate) fn new(seeds: u64, is_brief: bool) -> Self {
        Self {
            seeds,
            is_brief,
            known: Mutex::default(),
        }
    }

    /// The figure of a scene.
    pub(crate) fn figure(&self, scene: Scene, of: impl Fn(&Tally) -> f64) -> Figure {
        Figure::of(&self.of(scene).iter().map(of).collect::<Vec<_>>())
    }

    /// The figure of two scenes side by side.
    pub(crate) fn compared(
        &self,
        [one, other]: [Scene; 2],
        of: impl Fn(&Tally, &Tally) -> f64,
    ) -> Figure {
        let (one, other) = (self.of(one), self.of(other));
        let figures = one.iter().zip(&other).map(|(one, other)| of(one, other));
        Figure::of(&figures.collect::<Vec<_>>())
    }

    fn of(&self, scene: Scene) -> Vec<Tally> {
        let scene = self.timed(scene);
        let name = format!("{scene:?}");
        let known = |known: &HashMap<_, Vec<Tally>>| known.get(&name).cloned();
        if let Some(tallies) = known(&self.known.lock().expect("no thread has panicked")) {
            return tallies;
        }
        let tallies = self.run(scene);
        let mut known = self.known.lock().expect("no thread has panicked");
        known.insert(name, tallies.clone());
        tallies
    }

    fn run(&self, scene: Scene) -> Vec<Tally> {
        thread::scope(|scope| {
            let run = |seed| scope.spawn(move || World::new(Scene { seed, ..scene }).run());
            let threads: Vec<_> = (1..=self.seeds).map(run).collect();
            let results = threads.into_iter().map(thread::ScopedJoinHandle::join);
            results.map(|run| run.expect("no thread panics")).collect()
        })
    }

    /// Limits of a minute need minutes to settle; on calm days a pool has its recent
    /// clients in about four.
    fn timed(&self, scene: Scene) -> Scene {
        let (warm_up, counted) = match (self.is_brief, scene.day.is_scarce()) {
            (true, _) => (Duration::from_secs(1), Duration::from_secs(1)),
            (false, true) => (Duration::from_mins(2), Duration::from_mins(3)),
            (false, false) => (Duration::from_mins(5), Duration::from_mins(8)),
        };
        Scene {
            warm_up,
            counted,
            ..scene
        }
    }
}

impl Figure {
    fn of(figures: &[f64]) -> Self {
        let count = f64::from(u32::try_from(figures.len()).expect("few seeds"));
        let mean = figures.iter().sum::<f64>() / count;
        let squares = figures.iter().map(|figure| (figure - mean).powi(2));
        let spread = (squares.sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
        Self { mean, spread }
    }
}

/// In percent, with the spread if it is to be seen.
impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.mean.abs() < 0.1 { 2 } else { 0 };
        let [mean, spread] = [self.mean, self.spread].map(|figure| figure * 1e2);
        write!(out, "{mean:.digits$} %")?;
        let shown = format!("{spread:.digits$}");
        if shown.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
            write!(out, " ± {shown}")?;
        }
        Ok(())
    }
}
