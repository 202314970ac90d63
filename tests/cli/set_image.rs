//! `set-image`: a golden file before and after, and everything that it refuses.

use std::os::unix::fs::PermissionsExt;

use super::Home;

const SHOP: &str = "# The shop.
apiVersion: longshore/v1
kind: Service
metadata: {name: web}   # not the database
spec:
  taskDefinition: web
  desiredCount: 3
---
apiVersion: longshore/v1
kind: TaskDefinition
metadata:
  name: web
spec:
  containerDefinitions:
    # The application itself.
    - image: 'shop/web:1.0'   # written by CI
      name: app
      memory: 64
      command: [sh, -c, \"while :; do :; done\"]

    - {name: log, image: \"shop/log:1\", memory: 16, essential: false}
";

fn image(text: &str, old: &str, new: &str) -> String {
    text.replacen(old, new, 1)
}

impl Home {
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join("manifests").join(name)).expect("it is there")
    }
}

#[test]
fn set_image_changes_the_images_bytes_alone_and_says_where() {
    let home = Home::new();
    home.write("web.yaml", SHOP);
    let arguments = [
        "set-image",
        "web",
        "app=shop/web:1.1",
        "log=shop/log@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ];
    let (code, stdout, stderr) = home.run(&arguments);
    assert_eq!(code, 0, "{stderr}");
    let digest = arguments[3].trim_start_matches("log=");
    assert_eq!(
        stdout,
        format!(
            "manifests/web.yaml:16:14 shop/web:1.0 → shop/web:1.1\n\
             manifests/web.yaml:21:26 shop/log:1 → {digest}\n"
        )
    );
    let wanted = image(SHOP, "'shop/web:1.0'", "'shop/web:1.1'");
    let wanted = image(&wanted, "\"shop/log:1\"", &format!("\"{digest}\""));
    assert_eq!(home.read("web.yaml"), wanted);
    // Once more: nothing to do is no failure.
    let (code, stdout, stderr) = home.run(&arguments);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(
        stderr.contains("app is at shop/web:1.1 already"),
        "{stderr}"
    );
    assert_eq!(home.read("web.yaml"), wanted);
}

#[test]
fn set_image_keeps_the_mode_and_a_link_and_leaves_no_other_file() {
    let home = Home::new();
    let real = home.path().join("real.json");
    let json = "{\n\t\"family\": \"job\",\n\t\"containerDefinitions\": [{\"name\":\"c\",\"image\":\"i:1\",\"memory\":32}]\n}";
    std::fs::write(&real, json).expect("written");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let link = home.path().join("manifests/job.json");
    std::os::unix::fs::symlink("../real.json", &link).expect("a link");
    let (code, stdout, stderr) = home.run(&["set-image", "--task-definition", "job", "c=i:2"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout, "manifests/job.json:3:47 i:1 → i:2\n");
    assert_eq!(home.read("job.json"), json.replace("i:1", "i:2"));
    assert!(
        std::fs::symlink_metadata(&link)
            .expect("it is there")
            .is_symlink()
    );
    let mode = std::fs::metadata(&real)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let names = |dir: &str| {
        std::fs::read_dir(home.path().join(dir))
            .expect("a folder")
            .count()
    };
    assert_eq!((names("manifests"), names(".")), (1, 2));
}

#[test]
fn set_image_tries_without_writing() {
    let home = Home::new();
    home.write("web.yaml", SHOP);
    for (option, code) in [("--dry-run", 0), ("--check", 1)] {
        let said = home.run(&["set-image", "web", "app=shop/web:2", option]);
        assert_eq!(said.0, code, "{}", said.2);
        assert!(said.1.contains("shop/web:1.0 → shop/web:2"), "{}", said.1);
        assert_eq!(home.read("web.yaml"), SHOP);
    }
    assert_eq!(
        home.run(&["set-image", "web", "app=shop/web:1.0", "--check"])
            .0,
        0
    );
}

#[test]
fn set_image_writes_nothing_that_would_not_be_taken() {
    let home = Home::new();
    let broken = SHOP.replace("desiredCount", "desiredCont");
    home.write("web.yaml", &broken);
    let (code, stdout, stderr) = home.run(&["set-image", "web", "app=shop/web:2"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("manifests/web.yaml:7:3"), "{stderr}");
    assert!(stderr.contains("was not changed"), "{stderr}");
    assert_eq!(home.read("web.yaml"), broken);
    home.write("web.yaml", SHOP);
    let (code, _, stderr) = home.run(&["set-image", "web", "app=Shop/Web: 2"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`Shop/Web: 2` is no image"), "{stderr}");
    // An error elsewhere is said and holds nothing up.
    home.write("other.yaml", super::BROKEN);
    let (code, _, stderr) = home.run(&["set-image", "web", "app=shop/web:2"]);
    assert_eq!(code, 1, "the name is ambiguous now: {stderr}");
    home.write(
        "other.yaml",
        &super::BROKEN.replace("name: web", "name: other"),
    );
    let (code, _, stderr) = home.run(&["set-image", "web", "app=shop/web:2"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("manifests/other.yaml:7:3"), "{stderr}");
}

#[test]
fn set_image_refuses_what_an_alias_gives_and_what_a_block_holds() {
    let home = Home::new();
    let with = |image: &str| image_of(image);
    for (value, said) in [
        ("*base", "comes from the alias `*base`"),
        (">-\n        shop/web:1", "written as a block of lines"),
    ] {
        home.write("web.yaml", &with(value));
        let (code, _, stderr) =
            home.run(&["set-image", "--task-definition", "web", "app=shop/web:2"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
        assert!(stderr.contains("manifests/web.yaml:"), "{stderr}");
        assert_eq!(home.read("web.yaml"), with(value));
    }
}

fn image_of(value: &str) -> String {
    format!(
        "family: web\ntags: [{{key: base, value: &base 'shop/web:1'}}]\ncontainerDefinitions:\n  - name: app\n    memory: 32\n    image: {value}\n"
    )
}

#[test]
fn set_image_names_what_is_ambiguous_or_unknown() {
    let home = Home::new();
    home.write("web.yaml", SHOP);
    let asked = |arguments: &[&str]| {
        let mut all = vec!["set-image"];
        all.extend(arguments);
        home.run(&all)
    };
    for (arguments, code, said) in [
        (
            &["wbe", "app=a"][..],
            1,
            "there is no service wbe; did you mean web?",
        ),
        (&["web", "ap=a"], 1, "no container ap; did you mean app?"),
        (
            &["prod/web", "app=a"],
            1,
            "there is no service web in cluster prod; there is one in default",
        ),
        (
            &["--task-definition", "w", "app=a"],
            1,
            "there is no task definition w; ",
        ),
        (&["web", "app"], 2, "`app` is not CONTAINER=IMAGE"),
        (
            &["web", "app=a", "--dir", "nowhere"],
            2,
            "nothing at `nowhere`",
        ),
    ] {
        let (got, _, stderr) = asked(arguments);
        assert_eq!(got, code, "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    home.write(
        "prod.yaml",
        "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: prod}\nspec: {}\n---\nserviceName: web\ncluster: prod\ntaskDefinition: web:7\n",
    );
    let (code, _, stderr) = asked(&["web", "app=a"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("default/web, prod/web"), "{stderr}");
    assert!(stderr.contains("manifests/prod.yaml:6:1"), "{stderr}");
    let (code, _, stderr) = asked(&["prod/web", "app=a"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("stays at revision 7 of web"), "{stderr}");
    assert_eq!(asked(&["default/web", "app=a:1"]).0, 0);
    assert_eq!(home.read("web.yaml"), image(SHOP, "shop/web:1.0", "a:1"));
}
