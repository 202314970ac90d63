//! P1 and P2: files are broken, emptied and taken away under a running Longshore.

use crate::rig::{Rig, Service, ids};

#[tokio::test]
async fn a_broken_file_keeps_the_old_version_serving_and_status_says_why() {
    let Some(mut rig) = Rig::new("broken").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.service(
        "other",
        &Service {
            count: 1,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let web = ids(&rig.running("web").await);

    rig.write("web.yaml", "kind: Service\nmetadata: {name: web\n");
    rig.until("the status says so", async |rig| {
        rig.run(&["describe", "service", "web"])
            .stdout
            .contains("last good")
    })
    .await;
    let said = rig.run(&["describe", "service", "web"]).stdout;
    assert!(
        said.contains("web.yaml:"),
        "with the file and the line: {said}"
    );
    assert_eq!(ids(&rig.running("web").await), web);

    // While a file is broken nothing is removed, and valid files are followed.
    rig.service(
        "other",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.until("other follows", async |rig| {
        rig.running("other").await.len() == 2
    })
    .await;
    rig.remove("other.yaml");
    rig.service(
        "third",
        &Service {
            count: 1,
            ..Service::default()
        },
    );
    rig.until("third follows", async |rig| {
        rig.running("third").await.len() == 1
    })
    .await;
    assert_eq!(rig.running("other").await.len(), 2, "pruning is withheld");

    // A restart changes none of it: what was good is in the store.
    rig.kill();
    rig.start();
    rig.until("it follows again", async |rig| {
        rig.run(&["get", "services"]).stdout.contains("third")
    })
    .await;
    assert_eq!(ids(&rig.running("web").await), web);

    rig.service(
        "web",
        &Service {
            count: 3,
            ..Service::default()
        },
    );
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 3);
    rig.until(
        "what was removed goes, now that all is valid",
        async |rig| rig.running("other").await.is_empty(),
    )
    .await;
}

#[tokio::test]
async fn a_folder_that_vanishes_or_turns_empty_stops_nothing() {
    let Some(mut rig) = Rig::new("vanish").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let web = ids(&rig.running("web").await);

    let away = rig.path().join("away");
    std::fs::rename(rig.folder(), &away).expect("renamed");
    rig.until("it noticed", async |rig| {
        rig.run(&["describe", "service", "web"])
            .stdout
            .contains("last good")
    })
    .await;
    assert_eq!(ids(&rig.running("web").await), web);

    std::fs::create_dir(rig.folder()).expect("made");
    std::fs::remove_dir(rig.folder()).expect("removed");
    std::fs::rename(&away, rig.folder()).expect("renamed back");
    rig.service(
        "web",
        &Service {
            count: 3,
            ..Service::default()
        },
    );
    rig.steady();
    let now = ids(&rig.running("web").await);
    assert_eq!(now.len(), 3);
    assert!(web.iter().all(|id| now.contains(id)));
}
