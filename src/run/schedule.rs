//! Which step may start next, and which never will: the scheduler's state, without tasks and clocks.

use std::collections::BTreeSet;

use crate::plan::Plan;

/// Steps become ready when all they wait for has ended well; below a failure they are skipped.
#[derive(Debug)]
pub(super) struct Schedule {
    /// `(-height, index)`: the longest way to the end first, then the plan's order.
    ready: BTreeSet<(i64, usize)>,
    missing: Vec<usize>,
    below: Vec<Vec<usize>>,
    heights: Vec<u32>,
    open: Vec<bool>,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut below = vec![vec![]; plan.steps.len()];
        for (i, step) in plan.steps.iter().enumerate() {
            for &w in &step.waits_for {
                below[w].push(i);
            }
        }
        let missing: Vec<usize> = plan.steps.iter().map(|s| s.waits_for.len()).collect();
        let heights: Vec<u32> = plan.steps.iter().map(|s| s.height).collect();
        let ready = (0..missing.len()).filter(|&i| missing[i] == 0).map(|i| (-i64::from(heights[i]), i)).collect();
        Self { ready, open: vec![true; missing.len()], missing, below, heights }
    }

    pub(super) fn next(&mut self) -> Option<usize> {
        let (_, step) = self.ready.pop_first()?;
        self.open[step] = false;
        Some(step)
    }

    pub(super) fn succeeded(&mut self, step: usize) {
        for &b in &self.below[step] {
            self.missing[b] -= 1;
            if self.missing[b] == 0 && self.open[b] {
                self.ready.insert((-i64::from(self.heights[b]), b));
            }
        }
    }

    /// All steps below that were not skipped before, in plan order; they will never be ready.
    pub(super) fn failed(&mut self, step: usize) -> Vec<usize> {
        let mut skipped = BTreeSet::new();
        let mut stack = self.below[step].clone();
        while let Some(s) = stack.pop() {
            if self.open[s] {
                self.open[s] = false;
                skipped.insert(s);
                stack.extend(self.below[s].iter().copied());
            }
        }
        skipped.into_iter().collect()
    }

    /// Everything that has not started, in plan order; nothing starts any more.
    pub(super) fn stop(&mut self) -> Vec<usize> {
        self.ready.clear();
        let left = (0..self.open.len()).filter(|&i| self.open[i]).collect();
        self.open.fill(false);
        left
    }
}
