//! One run: all programs start, everybody comes and goes, and A is judged.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::fs::Mode;
use rustix::process::{Signal, umask};
use tokio::time::sleep;

use crate::admin::Admin;
use crate::configs::TOKEN;
use crate::figures::{Faults, Figures};
use crate::flaps::Rhythm;
use crate::load::{Load, World};
use crate::proxies::SID;
use crate::samples::{self, Sample};
use crate::site::{PAGE_AGE, Site, knows_others};
use crate::slope::Slope;
use crate::support::exposition::Exposition;
use crate::support::privacy::PrivacyWatch;
use crate::support::wait::until;
use crate::tally::Fate;
use crate::verdict::Verdict;
use crate::{Options, books, flaps, log_lines, plots, publication};

/// The gauges that are 0 when no request is in progress.
const REQUESTS: [&str; 9] = [
    "snowflake_available_proxies",
    "snowflake_broker_parked_polls",
    "snowflake_broker_queued_clients",
    "snowflake_broker_matched_clients",
    "snowflake_broker_open_connections",
    "snowflake_broker_bytes_in_flight",
    "snowflake_broker_private_pool_parked_polls",
    "snowflake_broker_private_pool_queued_clients",
    "snowflake_broker_unwritten_blocks",
];
/// Those that are 0 when nobody has come for two minutes.
const PEOPLE: [&str; 2] = [
    "snowflake_broker_recent_clients",
    "snowflake_broker_unserved_clients",
];
/// The time after which nobody is known.
const FORGOTTEN: u64 = 130;
const SECRETS: [&str; 4] = ["a=candidate", "\"sdp\"", SID, TOKEN];

pub(crate) async fn run(options: &Options) -> Result<Verdict> {
    let program = options.program()?;
    if let Some(folder) = &options.keep {
        let made = fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // Brokers warn of keys that others can read.
    let usual = umask(Mode::RWXG | Mode::RWXO);
    let mut site = Site::start(&program).await?;
    sleep(PAGE_AGE).await;
    let before = Sample::take(&site.a, &site.a.seen()?, 0.0).await?;
    let (world, faults, samples) = soak(options, &program, &mut site).await?;
    umask(usual);
    let slope = Slope::of(&samples, options.warm_up());
    if let Some(file) = &options.plot {
        plots::draw(&samples, slope, file)?;
    }

    let mut verdict = Verdict::default();
    match slope {
        None => verdict.add(false, "memory: too few samples"),
        Some(slope) => verdict.add(slope.is_good(), format!("memory grows by {slope}")),
    }
    judge_load(&mut verdict, &world);
    let are_people_gone = options.settle.as_secs() >= FORGOTTEN;
    let page = judge_tables(&mut verdict, &site, &before, are_people_gone).await?;
    for balance in books::against_load(&page, &world.tally) {
        verdict.add(balance.is_good, balance.text);
    }
    let balance = books::identities(&page, are_people_gone);
    verdict.add(balance.is_good, balance.text);
    if let Some(folder) = &options.keep {
        fs::write(folder.join("a.prom"), site.a.page().await?)?;
    }
    let status = site.a.end(Signal::TERM).await?;
    verdict.add(
        status.success(),
        format!("A ends when it is told to: {status}"),
    );
    let log = site.a.log()?;
    if let Some(folder) = &options.keep {
        fs::write(folder.join("a.log"), &log)?;
    }
    judge_log(&mut verdict, &log);
    if let Some(slope) = slope {
        let figures = Figures::new(options, &samples, slope, &world.tally, faults, &page);
        publication::publish(&[("soak", figures.table())], options.page.as_deref())?;
    }
    Ok(verdict)
}

/// Runs the load and the faults, and waits until all time-outs have passed.
async fn soak(
    options: &Options,
    program: &Path,
    site: &mut Site,
) -> Result<(Arc<World>, Faults, Vec<Sample>)> {
    let Site {
        a,
        b,
        p,
        nats,
        folder,
    } = site;
    let load = Load::start(options)?;
    let ending = load.world.ending.clone();
    let admin = Admin::new(program, folder.path());
    let rhythm = Rhythm {
        mean: options.faults,
        ending: &ending,
    };
    let time = async {
        sleep(options.length()).await;
        ending.cancel();
        anyhow::Ok(())
    };
    let ((), reloads, node, peer, server, admin, samples) = tokio::try_join!(
        time,
        flaps::reloads(a, folder.path(), &ending),
        flaps::broker(b, rhythm),
        flaps::broker(p, rhythm),
        flaps::nats(nats, rhythm),
        admin.changes(&ending),
        samples::take(a, &ending),
    )?;
    let world = load.end().await;
    sleep(options.settle).await;
    let faults = Faults {
        reloads,
        node,
        peer,
        server,
        admin,
    };
    Ok((world, faults, samples))
}

fn judge_load(verdict: &mut Verdict, world: &World) {
    let tally = &world.tally;
    for (fate, what) in [
        (Fate::Wrong, "offers or answers crossed or damaged"),
        (Fate::Lost, "requests lost without a reply"),
        (Fate::Unreached, "connections refused to honest callers"),
    ] {
        let count = tally.all(fate);
        verdict.add(count == 0, format!("{count} {what}"));
    }
    let failed = world.failed();
    verdict.add(failed == 0, format!("{failed} parts of the load failed"));
}

/// Judges what is left after the load. Returns A's last page.
async fn judge_tables(
    verdict: &mut Verdict,
    site: &Site,
    before: &Sample,
    are_people_gone: bool,
) -> Result<Exposition> {
    let a = &site.a;
    knows_others(a).await?;
    let process = a.seen()?;
    let files = process.fd_count()?;
    let wanted = usize::try_from(before.files)?;
    let closed = until("A's files are closed", async || {
        Ok((process.fd_count()? <= wanted).then_some(()))
    });
    let are_closed = files <= wanted || closed.await.is_ok();
    let files = process.fd_count()?;
    verdict.add(
        are_closed,
        format!("open files: {wanted} before the load, {files} after it"),
    );
    sleep(PAGE_AGE).await;
    let page = a.metrics().await?;
    let gauges = REQUESTS
        .iter()
        .chain(PEOPLE.iter().filter(|_| are_people_gone));
    let mut left = Vec::new();
    for gauge in gauges {
        let count = page.sum(gauge, &[]);
        if count > 0 {
            left.push(format!("{gauge} {count}"));
        }
    }
    let people = if are_people_gone {
        ""
    } else {
        " (those of people not judged)"
    };
    let told = if left.is_empty() {
        "all empty".to_owned()
    } else {
        left.join(", ")
    };
    verdict.add(
        left.is_empty(),
        format!("tables after the load: {told}{people}"),
    );
    Ok(page)
}

fn judge_log(verdict: &mut Verdict, log: &str) {
    let unexpected = log_lines::unexpected(log);
    let some = unexpected
        .iter()
        .take(10)
        .map(|line| format!("\n          {line}"));
    let lines = log.lines().count();
    verdict.add(
        unexpected.is_empty(),
        format!(
            "{lines} lines in A's log, {} not expected{}",
            unexpected.len(),
            some.collect::<String>()
        ),
    );
    let watch = PrivacyWatch::default();
    for secret in SECRETS {
        watch.forbid(secret);
    }
    watch.check("A's log", log);
    let findings = watch.findings("");
    let some = findings
        .iter()
        .take(10)
        .map(|found| format!("\n          {}", found.text));
    verdict.add(
        findings.is_empty(),
        format!(
            "{} lines of A's log with addresses, descriptions, Sids or tokens{}",
            findings.len(),
            some.collect::<String>()
        ),
    );
}
