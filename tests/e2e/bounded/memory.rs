//! Memory of a service that hostile clients keep busy.

use std::net::IpAddr;

use passbook_shared::partition::partition_of;

use super::*;
use crate::infrastructure::PARTITIONS;
use crate::infrastructure::authorization;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_use_little_memory_and_lock_no_one_out() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let environment = Environment::new("bounded").await?;
    let service = environment.command("command").await?;
    let client = service.client()?;
    let account = full_partition(&client).await?;
    let page =
        client.get(&format!("/v1/accounts/{account}/events?limit=1000")).await?.bytes().await?;
    ensure!(page.len() > 500_000, "a page of {} bytes", page.len());
    idle_connections(&service, account).await?;
    unfinished_bodies(&service).await?;
    many_elements(&service).await?;
    readers_that_do_not_read(&service, account).await
}

async fn idle_connections(service: &Service, account: Uuid) -> anyhow::Result<()> {
    const COUNT: usize = 5_000;
    let peak = Peak::of(service)?;
    let mut idle = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        idle.push(connect(service.addr, 1).await?);
    }
    let deposit = post(&format!("/v1/accounts/{account}/deposits"), r#"{"amount":5}"#)?;
    let mut slowest = Duration::ZERO;
    for last in 1..=20 {
        for (request, wanted) in [(&deposit, "HTTP/1.1 201 "), (&LIVE.to_owned(), "HTTP/1.1 200 ")]
        {
            let sent = Instant::now();
            let answer = exchange(service.addr, last, request).await?;
            ensure!(answer.starts_with(wanted), "{answer}");
            slowest = slowest.max(sent.elapsed());
        }
    }
    eprintln!(
        "figure: {COUNT} idle connections: others served within {slowest:?}, {} MiB added",
        peak.added()
    );
    ensure!(slowest < Duration::from_secs(1));
    ensure!(peak.added() < 96, "{} MiB", peak.added());
    Ok(())
}

async fn unfinished_bodies(service: &Service) -> anyhow::Result<()> {
    const COUNT: usize = 500;
    const LENGTH: usize = 2 * 1024 * 1024;
    let peak = Peak::of(service)?;
    let mut clients = JoinSet::new();
    for number in 0..COUNT {
        let addr = service.addr;
        clients.spawn(async move {
            let mut stream = connect(addr, u8::try_from(number % 4)? + 1).await?;
            let head =
                format!("POST /nowhere HTTP/1.1\r\n{}content-length: {LENGTH}\r\n\r\n", known()?);
            stream.write_all(head.as_bytes()).await?;
            let (mut read, mut write) = stream.into_split();
            // Everything but the last part.
            let sending = tokio::spawn(async move {
                let part = vec![b'x'; 16 * 1024];
                for _ in 0..LENGTH / part.len() - 1 {
                    write.write_all(&part).await?;
                }
                sleep(Duration::from_secs(5)).await;
                std::io::Result::Ok(())
            });
            let mut answer = vec![0; 4096];
            let length = timeout(Duration::from_secs(20), read.read(&mut answer)).await??;
            sending.abort();
            anyhow::Ok(String::from_utf8_lossy(&answer[..length]).starts_with("HTTP/1.1 404 "))
        });
    }
    let answers: Vec<_> = clients.join_all().await;
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(true))).count();
    let added = peak.added();
    eprintln!(
        "figure: {COUNT} unfinished bodies to an unknown route: {refused} answered 404, {added} \
        MiB added"
    );
    ensure!(refused == COUNT, "{:?}", answers.iter().find(|answer| !matches!(answer, Ok(true))));
    ensure!(added <= 32, "{added} MiB");
    Ok(())
}

async fn many_elements(service: &Service) -> anyhow::Result<()> {
    const COUNT: usize = 12;
    for (name, element) in
        [("empty objects", "{}"), ("objects of many fields", r#"{"a":1,"a":1,"a":1,"a":1}"#)]
    {
        let elements = vec![element; 2_000_000 / (element.len() + 1)].join(",");
        let request: Arc<str> =
            post("/v1/commands", &format!(r#"{{"commands":[{elements}]}}"#))?.into();
        // Excludes what is allocated once, whatever the number of requests.
        exchange(service.addr, 1, &request).await?;
        let peak = Peak::of(service)?;
        let mut clients = JoinSet::new();
        for _ in 0..COUNT {
            let (addr, request) = (service.addr, Arc::clone(&request));
            clients.spawn(async move { exchange(addr, 1, &request).await });
        }
        for answer in clients.join_all().await {
            let answer = answer?;
            ensure!(
                answer.starts_with("HTTP/1.1 400 ") && answer.contains("must be 1 to 1000"),
                "{answer}"
            );
        }
        let added = peak.added();
        eprintln!("figure: {COUNT} bodies of 2 MB of {name}: {added} MiB added");
        ensure!(added <= 32, "{added} MiB");
    }
    Ok(())
}

async fn readers_that_do_not_read(service: &Service, account: Uuid) -> anyhow::Result<()> {
    const COUNT: usize = 300;
    let partition = partition_of(account, PARTITIONS);
    let path = format!("/v1/events?partition={partition}&limit=5000");
    let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", known()?);
    let peak = Peak::of(service)?;
    let mut readers = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let mut stream = connect(service.addr, u8::try_from(number % 4)? + 1).await?;
        stream.write_all(request.as_bytes()).await?;
        readers.push(stream);
    }
    // Meanwhile another client reads the whole page.
    let sent = Instant::now();
    let other = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, 9])).build()?;
    let page = other
        .get(format!("http://{}{path}", service.addr))
        .header("authorization", authorization()?)
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    let (bytes, elapsed) = (page.len(), sent.elapsed());
    let page: Value = serde_json::from_slice(&page)?;
    let events = page["data"].as_array().context("no data")?.len();
    ensure!(events == 5_000 && page["has_more"].is_boolean(), "{events} events");
    sleep(Duration::from_secs(5)).await;
    let added = peak.added();
    eprintln!(
        "figure: {COUNT} readers of {bytes} bytes that do not read: {added} MiB added; another \
        client had all in {elapsed:?}"
    );
    ensure!(bytes > 3_000_000, "{bytes} bytes");
    ensure!(added <= 64, "{added} MiB");
    Ok(())
}
