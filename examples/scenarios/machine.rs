//! The machine that runs the measurements.

use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use procfs::{CpuInfo, Current as _, Meminfo};

use crate::results::Machine;

impl Machine {
    /// Describes this machine.
    pub(crate) fn here() -> Result<Self> {
        let processors = CpuInfo::current()?;
        let processor = processors.model_name(0).unwrap_or("unknown");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel")?;
        Ok(Self {
            processor: processor.to_owned(),
            processors: available_parallelism()?.get(),
            memory_bytes: Meminfo::current()?.mem_total,
            kernel: kernel.trim().to_owned(),
        })
    }
}
