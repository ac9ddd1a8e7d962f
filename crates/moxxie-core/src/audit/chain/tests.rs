use super::*;
use serde_json::json;

const NONE: Digest = Digest([0; 32]);

fn log(count: i64) -> Vec<Chained> {
    let mut prev = NONE;
    let make = |seq: i64| {
        let record = AuditRecord {
            seq: 0,
            at: Timestamp(1_767_225_600_000 + seq),
            actor: "ann".into(),
            action: "assignment.arm".into(),
            target: format!("assignment {seq}"),
            peer: (seq % 2 == 0).then(|| "10.0.0.5".into()),
            before: None,
            after: Some(json!({"z": 1.25e-7, "a": "ü\n"})),
        };
        let chained = Chained::follow(prev, seq, &record);
        prev = chained.hash;
        chained
    };
    (1..=count).map(make).collect()
}

/// Relinks the `prev` fields as a reader of the table sees them: they are not stored.
fn seen(mut records: Vec<Chained>, base: Digest) -> Vec<Chained> {
    let mut prev = base;
    for record in &mut records {
        record.prev = prev;
        prev = record.hash;
    }
    records
}

fn verify(records: &[Chained], head: Link, kept: Option<Link>) -> Result<u64, (i64, What)> {
    let mut verifier = Verifier::new(Base { first: 1, hash: NONE }, kept);
    let done = verifier.take(records).and_then(|()| verifier.end(Some(head)));
    done.map(|()| verifier.records).map_err(|problem| (problem.seq, problem.what))
}

fn head(records: &[Chained]) -> Link {
    records.last().map_or(Link { seq: 0, hash: NONE }, |last| Link { seq: last.seq, hash: last.hash })
}

#[test]
fn a_log_as_it_was_written_is_whole() {
    for count in [0, 1, 7] {
        let records = log(count);
        assert_eq!(verify(&records, head(&records), None), Ok(count.unsigned_abs()));
    }
    // In parts, and with its beginning pruned.
    let records = log(9);
    let mut verifier = Verifier::new(Base { first: 4, hash: records[2].hash }, None);
    verifier.take(&records[3..5]).unwrap();
    verifier.take(&records[5..]).unwrap();
    verifier.end(Some(head(&records))).unwrap();
}

#[test]
fn every_way_to_tamper_is_found_and_named() {
    let whole = log(6);
    let end = head(&whole);
    let changes: [fn(&mut Chained); 7] = [
        |r| r.at.0 += 1,
        |r| r.actor.push('x'),
        |r| r.action.push('x'),
        |r| r.target = "assignment 9".into(),
        |r| r.peer = None,
        |r| r.before = Some("{}".into()),
        |r| r.after = None,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut records = whole.clone();
        change(&mut records[3]);
        assert_eq!(verify(&seen(records, NONE), end, None), Err((4, What::Changed)), "{n}");
    }
    // A field's end must not become the next one's beginning.
    let mut records = whole.clone();
    records[3].actor = "an".into();
    records[3].action = "nassignment.arm".into();
    assert_eq!(verify(&seen(records, NONE), end, None), Err((4, What::Changed)));
    // A changed record whose hash was made to fit shows in the next one.
    let mut records = whole.clone();
    records[3].actor = "bob".into();
    records[3].hash = records[3].computed(4, records[3].prev);
    assert_eq!(verify(&seen(records, NONE), end, None), Err((5, What::Changed)));

    let without = |at: usize| {
        let mut records = whole.clone();
        records.remove(at);
        seen(records, NONE)
    };
    assert_eq!(verify(&without(0), end, None), Err((1, What::Missing)), "the beginning");
    assert_eq!(verify(&without(2), end, None), Err((3, What::Missing)), "the middle");
    assert_eq!(verify(&without(5), end, None), Err((6, What::Truncated)), "the end");
    assert_eq!(verify(&[], end, None), Err((1, What::Truncated)), "everything");

    // Two records swapped, with their places or only in a file.
    let mut records = whole.clone();
    records.swap(2, 3);
    assert_eq!(verify(&records, end, None), Err((3, What::Reordered)));
    (records[2].seq, records[3].seq) = (3, 4);
    assert_eq!(verify(&seen(records, NONE), end, None), Err((3, What::Reordered)));

    // One put in: in the middle, and behind the end.
    let mut records = whole.clone();
    let mut false_one = records[2].clone();
    false_one.target = "assignment 66".into();
    records.insert(3, false_one.clone());
    assert_eq!(verify(&seen(records.clone(), NONE), end, None), Err((4, What::Reordered)));
    for (record, seq) in records.iter_mut().zip(1..) {
        record.seq = seq;
    }
    assert_eq!(verify(&seen(records, NONE), end, None), Err((4, What::Reordered)));
    assert_eq!(verify(&log(7), end, None), Err((7, What::Inserted)));
}

#[test]
fn a_hash_that_was_kept_shows_a_chain_that_was_made_anew() {
    let whole = log(6);
    let end = head(&whole);
    let kept = Link { seq: 4, hash: whole[3].hash };
    assert_eq!(verify(&whole, end, Some(kept)), Ok(6));
    assert_eq!(verify(&whole, end, Some(Link { seq: 0, hash: NONE })), Ok(6));
    // All hashes of another history fit each other, not the one that was kept.
    let mut records = whole.clone();
    records[1].target = "assignment 66".into();
    let mut prev = NONE;
    for record in &mut records {
        record.prev = prev;
        record.hash = record.computed(record.seq, prev);
        prev = record.hash;
    }
    assert_eq!(verify(&records, head(&records), None), Ok(6));
    assert_eq!(verify(&records, head(&records), Some(kept)), Err((4, What::Rewritten)));
    assert_eq!(verify(&whole[..3], head(&whole[..3]), Some(kept)), Err((4, What::Truncated)));
    let mut pruned = Verifier::new(Base { first: 6, hash: whole[4].hash }, Some(kept));
    pruned.take(&whole[5..]).unwrap();
    assert_eq!(pruned.end(None).unwrap_err().what, What::Pruned);
}

#[test]
fn lines_carry_every_byte_there_and_back() {
    for record in log(4) {
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Chained>(&line).unwrap(), record);
        assert_eq!(record.record().unwrap().after, Some(json!({"z": 1.25e-7, "a": "ü\n"})));
    }
    let link = head(&log(2));
    assert_eq!(link.to_string().parse(), Ok(link));
    for bad in ["", "1", "1:", "-1:00", ":", "x:y"] {
        assert!(bad.parse::<Link>().is_err(), "{bad}");
    }
}
