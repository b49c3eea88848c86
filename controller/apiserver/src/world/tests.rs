use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::store::MemoryStore;

fn key(name: &str) -> Key {
    Key::new(&Resource::new("g", "things"), "ns", name)
}

fn body(name: &str, n: usize) -> Bytes {
    json!({"metadata": {"name": name, "uid": name}, "n": n}).to_string().into()
}

fn numbers(page: &Page) -> Vec<(String, u64)> {
    let number = |o: &Arc<Object>| (o.key.name.to_string(), o.value["n"].as_u64().unwrap());
    page.objects.iter().map(number).collect()
}

#[tokio::test]
async fn a_write_that_returned_is_seen_without_any_job_in_between() {
    let store = Arc::new(MemoryStore::default());
    let world = World::follow(store.clone());
    let revision = store.create(&key("a"), body("a", 1)).await.unwrap();
    assert_eq!(world.get(&key("a")).unwrap().revision, revision);
    assert_eq!(world.rv(), revision.rv);
}

#[tokio::test]
async fn the_past_is_read_by_undoing() {
    let store = Arc::new(MemoryStore::default());
    let world = World::follow(store.clone());
    store.create(&key("a"), body("a", 1)).await.unwrap();
    let then = store.create(&key("b"), body("b", 1)).await.unwrap().rv;
    store.replace(&key("a"), body("a", 2), 0).await.unwrap();
    store.replace(&key("a"), body("a", 3), 1).await.unwrap();
    store.delete(&key("b"), 0).await.unwrap();
    store.create(&key("c"), body("c", 1)).await.unwrap();
    let resource = &key("a").resource;
    let past = world.page(resource, Some("ns"), Some(then), None).unwrap();
    assert_eq!(numbers(&past), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let rest = world.page(resource, None, Some(then), Some(("ns", "a"))).unwrap();
    assert_eq!(numbers(&rest), [("b".to_owned(), 1)]);
    let now = world.page(resource, None, None, None).unwrap();
    assert_eq!(numbers(&now), [("a".to_owned(), 3), ("c".to_owned(), 1)]);
}

#[tokio::test]
async fn who_is_too_slow_falls() {
    let store = Arc::new(MemoryStore::default());
    let world = World::follow(store.clone());
    let start = store.create(&key("a"), body("a", 0)).await.unwrap().rv;
    let resource = key("a").resource;
    let mut cursor = world.cursor(&resource, start).unwrap();
    for n in 0..5000 {
        store.replace(&key("a"), body("a", 1), n).await.unwrap();
    }
    assert!(world.next(&resource, &mut cursor, 10, 1 << 20).is_err());
    assert!(world.cursor(&resource, start).is_err());
    let newest = world.rv();
    let mut cursor = world.cursor(&resource, newest - 2).unwrap();
    let (events, upto) = world.next(&resource, &mut cursor, 1, 1 << 20).unwrap();
    assert_eq!((events[0].rv, upto), (newest - 1, newest - 1));
    let (events, upto) = world.next(&resource, &mut cursor, 10, 1 << 20).unwrap();
    assert_eq!((events.len(), upto), (1, newest));
}

#[tokio::test]
async fn the_collector_is_told_of_orphans() {
    let store = Arc::new(MemoryStore::default());
    let world = World::follow(store.clone());
    store.create(&key("owner"), body("owner", 0)).await.unwrap();
    let child = json!({"metadata": {"uid": "child", "ownerReferences": [{"uid": "owner"}]}});
    store.create(&key("child"), child.to_string().into()).await.unwrap();
    assert_eq!(world.take_chore(), Some(key("child")));
    assert_eq!(world.take_chore(), None);
    store.delete(&key("owner"), 0).await.unwrap();
    assert_eq!(world.take_chore(), Some(key("child")));
    assert_eq!(world.dependents("owner").len(), 1);
}
