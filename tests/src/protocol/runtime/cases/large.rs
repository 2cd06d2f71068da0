//! Objects larger than a message, on both sides (protocol 5.5.2, 10.5).

use serde_json::{Map, Value, json};

use super::case;
use crate::protocol::runtime::actors::{Author, Following, Reporting, Watching, child};
use crate::protocol::runtime::line::{Line, code, expect_code, is, is_kind, same_id};
use crate::protocol::runtime::scene::{Scene, Subject};
use crate::protocol::{Case, Failure, Stop, Verdict};
use crate::{ensure, ensure_eq};

/// The longest message of this protocol.
const MESSAGE_MAX: usize = 256 * 1024;

pub(super) fn cases() -> Vec<Case<Subject>> {
    vec![
        case!("INV-READ-2/given-in-parts", ["INV-READ-2", "INV-SUB-1"], [Parts], given_in_parts),
        case!("INV-READ-2/parts-of-one-version", ["INV-READ-2"], [Parts], parts_of_one_version),
        case!("INV-READ-1/parts-of-others", ["INV-READ-1"], [Parts], parts_of_others),
        case!("INV-READ-2/children-pushed", ["INV-READ-2", "INV-CHD-4"], [Parts, Children], children_pushed),
        case!("INV-EXT-2/change-too-large", ["INV-EXT-2", "INV-READ-2"], [Parts, Since], change_too_large),
        case!("INV-READ-2/taken-in-parts", ["INV-READ-2"], [Parts], taken_in_parts),
        case!("INV-READ-2/taken-as-pushed", ["INV-READ-2"], [Children], taken_as_pushed),
        case!("INV-READ-2/part-missing", ["INV-READ-2", "INV-SUB-2", "M9"], [Parts], part_missing),
    ]
}

/// Text that has to be escaped, some hundred kilobytes with others of it.
fn piece(number: u64) -> Value {
    json!(format!("{number}: {}", "\"ö\\ and so on;\n".repeat(5_000)))
}

/// An object of about 450 kB, grown by changes that each fit a message.
async fn grown(scene: &Scene) -> Verdict<(Reporting, Value)> {
    let mut reporting = Reporting::open(scene, false).await?;
    let mut data = json!({"topic": "a"});
    for number in 0..5 {
        let name = format!("piece{number}");
        reporting.change(&name, piece(number)).await?;
        data[name] = piece(number);
    }
    Ok((reporting, data))
}

/// What comes for a large answer: its first part, and where the others are.
fn first_part(answer: &Value) -> Verdict<(String, u64)> {
    let body = &answer["body"];
    ensure!("INV-READ-2", answer.to_string().len() <= MESSAGE_MAX, "an answer longer than a message");
    let parts = (body["transfer"].as_str(), body["parts"].as_u64(), body["text"].as_str());
    match parts {
        (Some(transfer), Some(parts), Some(_)) if body["part"] == 1 => Ok((transfer.to_owned(), parts)),
        _ => Err(Stop::from(Failure::new("INV-READ-2", "a large answer is not in parts".to_owned()))),
    }
}

/// Fetches the other parts in any order, and reads the whole.
async fn fetch(line: &mut Line, object: &str, answer: &Value) -> Verdict<Value> {
    let (transfer, parts) = first_part(answer)?;
    let sm = line.sm();
    let mut texts = vec![answer["body"]["text"].as_str().unwrap_or_default().to_owned()];
    texts.resize(usize::try_from(parts).unwrap_or(1).min(1_000), String::new());
    for part in (2..=parts.min(1_000)).rev() {
        let answer = line.request("read", &sm, object, json!({"transfer": transfer, "part": part})).await?;
        expect_code("INV-READ-2", &answer, &[200], "a part")?;
        ensure!("INV-READ-2", answer.to_string().len() <= MESSAGE_MAX, "a part longer than a message");
        ensure_eq!("INV-READ-2", answer["body"]["part"], json!(part), "which part it is");
        let text = answer["body"]["text"].as_str().unwrap_or_default();
        texts[usize::try_from(part - 1).unwrap_or(0)] = text.to_owned();
    }
    let whole = texts.concat();
    let told = json!(whole.len());
    ensure_eq!("INV-READ-2", answer["body"]["bytes"], told, "how long the whole is");
    serde_json::from_str(&whole)
        .map_err(|error| Stop::from(Failure::new("INV-READ-2", format!("the parts make no answer: {error}"))))
}

async fn given_in_parts(scene: &mut Scene) -> Verdict {
    let (mut reporting, data) = grown(scene).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let answer = watching.subscribe(json!({"parts": true})).await?;
    expect_code("INV-READ-2", &answer, &[200], "a subscription to a large object")?;
    let object = reporting.object.clone();
    let whole = fetch(&mut watching.line, &object, &answer).await?;
    ensure_eq!("INV-READ-2", whole["value"]["data"], data, "the data in parts");
    ensure_eq!("INV-READ-2", whole["value"]["version"], json!(5), "their version");
    ensure!("M21", whole["childrenResources"].is_array(), "the names of the children are not told");
    // It observes from the first part on.
    reporting.change("topic", json!("b")).await?;
    let change = watching.update().await?;
    ensure_eq!("INV-SUB-1", change["version"], json!(6), "the next change");
    Ok(())
}

async fn parts_of_one_version(scene: &mut Scene) -> Verdict {
    let (mut reporting, data) = grown(scene).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let small = watching.subscribe(json!({"parts": true})).await?;
    first_part(&small)?;
    let (sm, object) = (watching.line.sm(), reporting.object.clone());
    let answer = watching.line.request("read", &sm, &object, json!({"parts": true})).await?;
    for number in 0..3 {
        reporting.change(&format!("piece{number}"), json!("short")).await?;
    }
    let whole = fetch(&mut watching.line, &object, &answer).await?;
    ensure_eq!("INV-READ-2", whole["value"]["version"], json!(5), "the version that was read");
    ensure_eq!("INV-READ-2", whole["value"]["data"], data, "the data of that version");
    Ok(())
}

async fn parts_of_others(scene: &mut Scene) -> Verdict {
    let (reporting, _) = grown(scene).await?;
    let mut watching = Watching::listen(scene, "watcher", &reporting.object).await?;
    let answer = watching.subscribe(json!({"parts": true})).await?;
    let (transfer, _) = first_part(&answer)?;
    fetch(&mut watching.line, &reporting.object, &answer).await?;
    let mut stranger = scene.peer("stranger").await?;
    let (sm, object) = (stranger.sm(), reporting.object.clone());
    let asked = json!({"transfer": transfer, "part": 2});
    let answer = stranger.request("read", &sm, &object, asked.clone()).await?;
    expect_code("INV-READ-1", &answer, &[401, 403, 404], "a part for somebody else")?;
    ensure!("INV-READ-1", answer["body"].get("text").is_none(), "a stranger gets a part");
    expect_code("INV-UNS-2", &watching.leave().await?, &[200], "leaving")?;
    let sm = watching.line.sm();
    let answer = watching.line.request("read", &sm, &object, asked).await?;
    expect_code("INV-READ-1", &answer, &[401, 403, 404], "a part for one who has left")?;
    Ok(())
}

/// A reader that says nothing of parts gets the children in slices.
async fn children_pushed(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (own, object, notes) =
        (reporting.line.url.clone(), reporting.object.clone(), reporting.children("notes"));
    let mut wanted = Map::new();
    for number in 1..=8_u64 {
        let body = child(&object, &own, number, json!({"text": piece(number)}));
        let answer = reporting.line.request("create", &own, &notes, body).await?;
        expect_code("INV-CHD-1", &answer, &[200], "a child")?;
        wanted.insert(format!("{own}#{number}"), json!({"text": piece(number)}));
    }
    let mut watching = Watching::listen(scene, "watcher", &object).await?;
    let id = watching.ask(&json!({}));
    let (mut children, mut next) = (Map::new(), 1_u64);
    loop {
        let answer = watching.line.until("INV-READ-2", "the next part", |message| {
            is_kind(message, "response")
                && same_id(&message["id"], &id)
                && message["body"].get("part").is_some()
        });
        let answer = answer.await?;
        let body = &answer["body"];
        ensure!("INV-READ-2", answer.to_string().len() <= MESSAGE_MAX, "a part longer than a message");
        ensure_eq!("INV-READ-2", body["part"], json!(next), "the order of the parts");
        let of_part = body["value"]["childrenObjects"]["notes"].as_object().cloned().unwrap_or_default();
        if next == 1 {
            ensure!("INV-READ-2", body["value"]["data"]["topic"] == "a", "the first part has the data");
            ensure!("INV-READ-2", of_part.is_empty(), "the first part has children");
        }
        let data = |(id, entry): (String, Value)| (id, entry["value"]["data"].clone());
        children.extend(of_part.into_iter().map(data));
        let last = body["responses"] == json!(next);
        ensure_eq!("INV-READ-2", code(&answer), if last { 200 } else { 100 }, "the code of part {next}");
        if last {
            break;
        }
        next += 1;
    }
    ensure_eq!("INV-READ-2", children, wanted, "the children in all parts");
    Ok(())
}

async fn change_too_large(scene: &mut Scene) -> Verdict {
    let mut reporting = Reporting::open(scene, false).await?;
    let (mut watching, _) = Watching::join(scene, "watcher", &reporting.object, false).await?;
    let large: Vec<Value> = (0..4).map(piece).collect();
    reporting.change("all", json!([])).await?;
    watching.update().await?;
    let id = reporting.put("all", json!(large));
    let taken = code(&reporting.line.final_answer(&id).await?);
    if taken != 200 {
        ensure!("INV-EXT-2", (400..500).contains(&taken), "a change that cannot be sent is answered {taken}");
        return Ok(());
    }
    let channel = format!("{}/changes", reporting.object);
    let told = watching.line.until("INV-EXT-2", "word of a large change", |message| {
        is(message, "update", &channel) && message["body"]["version"] == json!(2)
    });
    let told = told.await?;
    ensure!("INV-EXT-2", told.to_string().len() <= MESSAGE_MAX, "a change longer than a message");
    let (sm, object) = (watching.line.sm(), reporting.object.clone());
    let since = json!({"parts": true, "criteria": {"since": {"epoch": 0, "version": 1}}});
    let answer = watching.line.request("read", &sm, &object, since).await?;
    let whole = fetch(&mut watching.line, &object, &answer).await?;
    let found = if whole["recovered"] == true {
        whole["changes"][0]["value"].clone()
    } else {
        whole["value"]["data"]["all"].clone()
    };
    ensure_eq!("INV-EXT-2", found, json!(large), "what was changed");
    Ok(())
}

/// An author of a large object.
async fn large_author(scene: &Scene) -> Verdict<Author> {
    let mut author = Author::announce(scene, "author").await?;
    for number in 0..5 {
        author.data[format!("piece{number}")] = piece(number);
    }
    Ok(author)
}

/// The final answer of an author, in pieces.
fn pieces(author: &Author) -> Vec<String> {
    let body = json!({"code": 200, "value": author.snapshot(), "childrenResources": ["notes", "news"]});
    let text: Vec<char> = body.to_string().chars().collect();
    text.chunks(50_000).map(|piece| piece.iter().collect()).collect()
}

fn offer(author: &Author, request: &Value, pieces: &[String]) {
    let bytes: usize = pieces.iter().map(String::len).sum();
    let body = json!({
        "code": 200, "transfer": "t1", "parts": pieces.len(), "part": 1, "bytes": bytes, "text": pieces[0],
    });
    author.line.answer(request, body);
}

/// Answers requests for parts, the later before the earlier where two are there; `without` is refused once.
async fn serve_parts(author: &mut Author, pieces: &[String], without: Option<u64>) -> Verdict {
    let mut served = 1;
    while served < pieces.len() {
        let read = author.read_request("INV-READ-2").await?;
        let part = read["body"]["part"].as_u64().filter(|_| read["body"]["transfer"] == "t1");
        let at =
            part.and_then(|part| usize::try_from(part).ok()).filter(|at| (2..=pieces.len()).contains(at));
        let Some(at) = at else {
            return Err(Failure::new("INV-READ-2", format!("not a request for a part: {read}")).into());
        };
        if part == without {
            author.line.answer(&read, json!({"code": 404, "desc": "no longer kept"}));
            return Ok(());
        }
        author.line.answer(&read, json!({"code": 200, "part": at, "text": pieces[at - 1]}));
        served += 1;
    }
    Ok(())
}

async fn taken_in_parts(scene: &mut Scene) -> Verdict {
    let mut author = large_author(scene).await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    ensure_eq!("INV-READ-2", request["body"]["parts"], json!(true), "whether it fetches parts");
    let pieces = pieces(&author);
    offer(&author, &request, &pieces);
    // What comes while they are fetched comes after them.
    author.publish("topic", json!("b"));
    serve_parts(&mut author, &pieces, None).await?;
    let answer = following.line.final_answer(&id).await?;
    expect_code("INV-READ-2", &answer, &[200], "a subscription to a large object")?;
    following.take_state(&answer["body"]["value"]);
    following.reach(scene, "INV-SUB-1", 1).await?;
    ensure_eq!("INV-READ-2", following.data, author.data, "the data that was put together");
    Ok(())
}

/// As older implementations do: all parts are provisional, and whoever reads counts them.
async fn taken_as_pushed(scene: &mut Scene) -> Verdict {
    let mut author = Author::announce(scene, "author").await?;
    let writer = author.hyperty.clone();
    let mut whole = Map::new();
    for number in 1..=4_u64 {
        let value = child(&author.object, &writer, number, json!({"text": piece(number)}))["value"].clone();
        whole.insert(format!("{writer}#{number}"), json!({ "value": value }));
    }
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    let mut value = author.snapshot();
    value.as_object_mut().map(|members| members.remove("childrenObjects"));
    let part = |part: usize, value: Value| json!({"code": 100, "responses": 3, "part": part, "value": value});
    author.line.answer(&request, part(1, value));
    let entries: Vec<_> = whole.clone().into_iter().collect();
    for (at, slice) in entries.chunks(2).enumerate() {
        let slice: Map<String, Value> = slice.iter().cloned().collect();
        author.line.answer(&request, part(at + 2, json!({"childrenObjects": {"notes": slice}})));
    }
    let answer = following.line.final_answer(&id).await?;
    expect_code("INV-READ-2", &answer, &[200], "a subscription that is answered in parts")?;
    let value = &answer["body"]["value"];
    ensure_eq!("INV-READ-2", value["data"]["topic"], json!("a"), "the data");
    for (id, entry) in &whole {
        let read = &value["childrenObjects"]["notes"][id]["value"]["data"];
        ensure_eq!("INV-READ-2", *read, entry["value"]["data"], "the child {id}");
    }
    Ok(())
}

/// Without all parts there is nothing; the next subscription begins anew.
async fn part_missing(scene: &mut Scene) -> Verdict {
    let mut author = large_author(scene).await?;
    let mut following = Following::sit(scene, "observer", &author.object)?;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    let pieces = pieces(&author);
    offer(&author, &request, &pieces);
    serve_parts(&mut author, &pieces, Some(5)).await?;
    let answer = following.line.final_answer(&id).await?;
    ensure!("INV-READ-2", code(&answer) >= 400, "a part is missing, and it is answered {}", code(&answer));
    ensure!("INV-READ-2", answer["body"].get("value").is_none(), "a part is missing, and there is a value");
    // Accepted by mistake, it says that it does not observe.
    let to = format!("{}/subscription", author.object);
    author.line.until("M9", "the leave", |message| is(message, "unsubscribe", &to)).await?;
    author.line.rest().await;
    let id = following.ask(scene, json!({}));
    let request = author.asked().await?;
    offer(&author, &request, &pieces);
    serve_parts(&mut author, &pieces, None).await?;
    following.accepted(&id).await?;
    ensure_eq!("INV-READ-2", following.data, author.data, "the data at the second try");
    Ok(())
}
