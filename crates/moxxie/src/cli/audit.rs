//! `moxxie audit`: what people and tokens did, whether the log is what was written, and all of it
//! as a file.

use crate::cli::client::{Client, STALL};
use crate::cli::out::{self, Column, Format};
use crate::cli::when::{self, When};
use crate::cli::{ClientOptions, FAILED};
use crate::http::api::v1::audit::Verdict;
use anyhow::Context as _;
use moxxie_core::audit::{Base, Chained, Link, Problem, Verifier};
use reqwest::Method;
use reqwest::header::ACCEPT;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::time::timeout;

const AUDIT: [&str; 3] = ["api", "v1", "audit"];
const COLUMNS: &[Column] = &[
    ("SEQ", "seq"),
    ("AT", "at"),
    ("WHO", "actor"),
    ("ACTION", "action"),
    ("WHAT", "target"),
    ("FROM", "peer"),
];

/// What to do with the log; without a word, list it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = "Example:\n  moxxie audit --limit 20")]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    /// What people and tokens did, newest first.
    #[command(
        after_help = "Example:\n  moxxie audit list --since 1d --action access.refused\n  moxxie audit list --actor ci --output json"
    )]
    List(ListArgs),
    /// All records as JSON lines on standard output, oldest first, with their hashes.
    #[command(after_help = "Example:\n  moxxie audit export --since 30d > audit.jsonl")]
    Export(Filters),
    /// Check that no record was changed, taken out, put in or moved; exit code 1 if one was.
    #[command(
        after_help = "Example:\n  moxxie audit verify\n  moxxie audit verify --file audit.jsonl\n\nKeep the printed SEQ:HASH elsewhere. Given with --head later, it shows whether the log was rewritten as a whole."
    )]
    Verify(VerifyArgs),
}

/// Which records.
#[derive(Debug, clap::Args)]
struct Filters {
    /// Only since then: 15m, 1h, 7d, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only before then.
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// Only this action, such as assignment.arm, config.deliver, access.refused.
    #[arg(long)]
    action: Option<String>,
    /// Only by this token, `machine MAC` or `system`.
    #[arg(long)]
    actor: Option<String>,
    /// Only about this, such as `profile NAME`.
    #[arg(long)]
    target: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    filters: Filters,
    /// At most so many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// A file of `moxxie audit export` instead of the server's log; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// SEQ:HASH as an earlier verify printed it: must be in the log.
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<Link>,
}

impl Filters {
    fn query(self) -> Vec<(&'static str, String)> {
        let moment = |when: Option<When>| when.map(|when| when.before(when::now()).to_string());
        let all = [
            ("since", moment(self.since)),
            ("until", moment(self.until)),
            ("action", self.action),
            ("actor", self.actor),
            ("target", self.target),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// Runs `moxxie audit`.
pub async fn run(options: &ClientOptions, args: AuditArgs) -> anyhow::Result<ExitCode> {
    match args.command.unwrap_or(AuditCommand::List(args.list)) {
        AuditCommand::List(ListArgs { filters, limit }) => {
            let limit = Some(limit).filter(|limit| *limit > 0);
            let items = options.client()?.list(&AUDIT, &filters.query(), limit).await?;
            out::list(options.output, &items, COLUMNS)?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Export(filters) => {
            export(&options.client()?, &filters.query(), &mut io::stdout()).await?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify(VerifyArgs { file: Some(path), head }) => {
            tell(options.output, &verify_file(&path, head)?)
        }
        AuditCommand::Verify(VerifyArgs { file: None, head }) => {
            let query: Vec<(&str, String)> =
                head.map(|head| ("head", head.to_string())).into_iter().collect();
            let path = ["api", "v1", "audit", "verify"];
            let client = options.client()?;
            // No time limit of its own: a long log takes long to read.
            let response = client.send(|| client.authorized(Method::GET, &path, &query)).await?;
            let bytes = response.bytes().await.map_err(|e| client.broken(e))?;
            let verdict = serde_json::from_slice(&bytes).context("the server's answer is not a verdict")?;
            tell(options.output, &verdict)
        }
    }
}

/// Writes the lines as they come. What breaks off is an error, and no whole file.
pub(crate) async fn export(
    client: &Client,
    query: &[(&str, String)],
    to: &mut (impl io::Write + Send),
) -> anyhow::Result<()> {
    let mut response = client
        .send(|| Ok(client.authorized(Method::GET, &AUDIT, query)?.header(ACCEPT, "application/x-ndjson")))
        .await?;
    while let Some(chunk) = timeout(STALL, response.chunk())
        .await
        .context("the transfer stands still")?
        .map_err(|e| client.broken(e))?
    {
        // JSON has control characters as escapes only: safe on a terminal.
        to.write_all(&chunk)?;
    }
    Ok(to.flush()?)
}

/// Reads an export to its end, or to the first thing that is wrong. What came before its first
/// record and after its last one, a file cannot say.
fn verify_file(path: &Path, head: Option<Link>) -> anyhow::Result<Verdict> {
    let shown = path.display();
    let input: Box<dyn io::Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).with_context(|| format!("cannot read {shown}"))?),
    };
    let mut records: Vec<Chained> = Vec::new();
    for (index, line) in BufReader::new(input).lines().enumerate() {
        let place = || format!("{shown}:{}: not a line of `moxxie audit export`", index + 1);
        let line = line.with_context(place)?;
        records.push(serde_json::from_str(&line).with_context(place)?);
    }
    let first = records.first().with_context(|| format!("{shown}: there are no records in it"))?;
    let mut verifier = Verifier::new(Base { first: first.seq, hash: first.prev }, head);
    let problem = verifier.take(&records).and_then(|()| verifier.end(None)).err();
    let last = verifier.last();
    Ok(Verdict {
        ok: problem.is_none(),
        records: verifier.records,
        first: verifier.first(),
        last: last.seq,
        head: last.hash,
        problem,
    })
}

fn tell(format: Format, verdict: &Verdict) -> anyhow::Result<ExitCode> {
    if !out::object(format, &serde_json::to_value(verdict)?)? {
        let Verdict { records, first, last, head, .. } = verdict;
        match &verdict.problem {
            None if *records == 0 => out::line("ok: the log is empty")?,
            None => out::line(format!("ok: {records} records, {first} to {last}"))?,
            Some(Problem { seq, what, detail }) => {
                let what = serde_json::to_value(what)?;
                out::line(format!("broken: record {seq} {}: {detail}", out::cell(&what)))?;
                out::line(format!("{records} records before it are right"))?;
            }
        }
        if verdict.ok {
            out::line(format!("head {last}:{head}"))?;
        }
    }
    Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::asset::Digest;
    use moxxie_core::audit::{AuditRecord, What};
    use moxxie_core::time::Timestamp;

    fn lines(from: i64, to: i64) -> Vec<String> {
        let mut prev = Digest([0; 32]);
        let mut lines = Vec::new();
        for seq in 1..=to {
            let record = AuditRecord {
                seq: 0,
                at: Timestamp(seq),
                actor: "ann".into(),
                action: "token.create".into(),
                target: format!("token {seq}"),
                peer: None,
                before: None,
                after: Some(serde_json::json!({"ratio": 1.1e-7})),
            };
            let chained = Chained::follow(prev, seq, &record);
            prev = chained.hash;
            lines.push(serde_json::to_string(&chained).unwrap());
        }
        lines.split_off(from as usize - 1)
    }

    #[test]
    fn a_file_is_checked_without_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let verify = |lines: &[String], head: Option<Link>| {
            std::fs::write(&path, lines.join("\n")).unwrap();
            verify_file(&path, head).map(|v| (v.records, v.last, v.problem.map(|p| (p.seq, p.what))))
        };
        assert_eq!(verify(&lines(1, 9), None).unwrap(), (9, 9, None));
        assert_eq!(verify(&lines(4, 9), None).unwrap(), (6, 9, None), "from the middle on");
        let mut bad = lines(1, 9);
        bad[3] = bad[3].replace("token 4", "token 5");
        assert_eq!(verify(&bad, None).unwrap(), (3, 3, Some((4, What::Changed))));
        bad.remove(3);
        assert_eq!(verify(&bad, None).unwrap(), (3, 3, Some((4, What::Missing))));
        bad.swap(0, 1);
        assert!(verify(&bad, None).unwrap().2.is_some());
        let kept: Chained = serde_json::from_str(&lines(1, 9)[5]).unwrap();
        let kept = Link { seq: 6, hash: kept.hash };
        assert_eq!(verify(&lines(1, 9), Some(kept)).unwrap().2, None);
        let other = Link { seq: 5, ..kept };
        assert_eq!(verify(&lines(1, 9), Some(other)).unwrap().2, Some((5, What::Rewritten)));
        assert!(verify(&["{}".into()], None).is_err() && verify(&[], None).is_err());
    }
}
