//! Every known image is recognized, and nothing an image says gets into a profile unchecked.

#![allow(clippy::unwrap_used)]

mod images;

use images::{IMAGES, Image};
use moxxie_core::media::{Contents, Media, candidates, recognize};
use moxxie_core::name::FileName;
use moxxie_core::platform::find;
use proptest::prelude::*;

fn image_name() -> FileName {
    "image.iso".parse().unwrap()
}

fn look(label: &str, paths: &[&str], texts: &[(&str, &str)]) -> Option<Media> {
    let texts = texts.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    recognize(&Contents::new(label, paths.iter().copied(), texts), &image_name())
}

fn paths(image: &Image) -> Vec<&'static str> {
    image.files.iter().copied().chain(image.texts.iter().map(|(path, _)| *path)).collect()
}

#[test]
fn every_known_image_is_recognized() {
    for image in IMAGES {
        let what = image.label;
        let media =
            look(image.label, &paths(image), image.texts).unwrap_or_else(|| panic!("{what}: unknown"));
        assert_eq!((media.system, media.version.as_deref()), (image.system, image.version), "{what}");
        assert_eq!((media.arch, media.keep_image), (image.arch, image.keep_image), "{what}");
        assert_eq!(media.label, image.label);
        let profile = &media.suggestion;
        let (name, kind, description) = image.profile;
        assert_eq!(profile.name.as_str(), name, "{what}");
        assert_eq!((profile.profile_type, profile.description.as_str()), (kind, description), "{what}");
        assert_eq!(profile.boot_params, image.boot_params, "{what}");
        assert_eq!(profile.destructive, image.destructive, "{what}");
        let members: Vec<&str> = media.files.iter().map(|file| file.member.as_str()).collect();
        assert_eq!(members, image.boot, "{what}");
        let loaded: Vec<&FileName> = [&profile.kernel_path]
            .into_iter()
            .chain(&profile.initrd_path)
            .chain(&profile.extra_initrds)
            .collect();
        assert_eq!(loaded, media.files.iter().map(|file| &file.file).collect::<Vec<_>>(), "{what}");
        assert!(media.notes.concat().contains(image.note), "{what}: {:?}", media.notes);
        assert!(!media.notes.concat().contains("IMAGE"), "{what}: {:?}", media.notes);
    }
}

#[test]
fn talos_takes_its_arguments_from_the_version() {
    let image = IMAGES.iter().find(|image| image.label == "TALOS_V1_13_9").unwrap();
    let media = look(image.label, &paths(image), &[]).unwrap();
    assert_eq!(media.suggestion.params["talos_version"], "1.13.9");
}

#[test]
fn each_file_that_an_image_is_known_by_is_needed() {
    for image in IMAGES.iter().filter(|image| image.system != "generic") {
        for gone in image.boot.iter().filter(|path| !path.contains("ucode")) {
            let rest: Vec<&str> = paths(image).into_iter().filter(|path| path != gone).collect();
            let media = look(image.label, &rest, image.texts);
            assert!(media.is_none_or(|m| m.files.iter().all(|f| f.member != *gone)), "{}", image.label);
        }
    }
}

#[test]
fn what_is_ambiguous_is_left_to_people() {
    assert_eq!(look("X", &[], &[]), None);
    assert_eq!(look("X", &["a/vmlinuz"], &[]), None);
    assert_eq!(look("X", &["a/vmlinuz", "b/initrd.img"], &[]), None);
    let two = ["a/vmlinuz", "a/initrd.img", "b/vmlinuz", "b/initrd.img", "a/vmlinuz.sha256", "readme"];
    assert_eq!(look("X", &two, &[]), None);
    assert_eq!(look("X", &["a/vmlinuz", "a/initrd-1", "a/initrd-2"], &[]), None);
    // A kernel and initrd at Proxmox's place in somebody else's image.
    assert_eq!(look("X", &["boot/linux26", "boot/initrd.img"], &[]).unwrap().system, "generic");
    // A name that no shelf takes.
    assert_eq!(look("X", &["boot/vmlinuz-${x}", "boot/initrd"], &[]), None);
    let contents = Contents::new("X", two, vec![]);
    assert_eq!(candidates(&contents, 20), ["a/initrd.img", "a/vmlinuz", "b/initrd.img", "b/vmlinuz"]);
    assert_eq!(candidates(&contents, 1).len(), 1);
}

/// A path of a known image, or any text.
fn any_path() -> impl Strategy<Value = String> {
    let known: Vec<&str> = IMAGES.iter().flat_map(paths).collect();
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => "\\PC{0,12}(/[a-z.*{}$]{0,8}){0,3}"]
}

fn any_text() -> impl Strategy<Value = String> {
    let known: Vec<&str> = IMAGES.iter().flat_map(|i| i.texts.iter().map(|(_, text)| *text)).collect();
    prop_oneof![
        prop::sample::select(known).prop_map(str::to_owned),
        "(family|version|PRODUCT|RELEASE) ?= ?\\PC{0,40}\n(version|RELEASE)=[0-9.]{0,400}",
        "(?s).{0,60}"
    ]
}

proptest! {
    #[test]
    fn whatever_an_image_says_a_suggestion_is_a_valid_profile(
        label in prop_oneof![Just("PVE".to_owned()), "(TALOS_V|RESCUE|Fedora|é)?[0-9_.]{0,24}", "(?s).{0,32}"],
        paths in prop::collection::vec(any_path(), 0..40),
        texts in prop::collection::vec(any_text(), 8),
    ) {
        let texts: Vec<(&str, &str)> =
            moxxie_core::media::TEXTS.iter().copied().zip(texts.iter().map(String::as_str)).collect();
        let listed: Vec<&str> = paths.iter().map(String::as_str).collect();
        let media = look(&label, &listed, &texts);
        let mut turned = listed.clone();
        turned.reverse();
        prop_assert_eq!(&look(&label, &turned, &texts), &media, "the order says nothing");
        if let Some(media) = media {
            for file in &media.files {
                prop_assert!(listed.contains(&file.member.as_str()), "{}", file.member);
            }
            let profile = &media.suggestion;
            prop_assert!(find(profile.profile_type).is_some());
            prop_assert!(profile.name.as_str() != "menu");
            // Only our own words and the image's name on the shelf stand in the arguments.
            prop_assert!(profile.boot_params.is_ascii() && !profile.boot_params.contains(['\n', '$', ';', '|']));
            let plain = |c: char| c.is_ascii_graphic() || c == ' ';
            prop_assert!(profile.description.chars().all(plain) && profile.description.len() < 128);
            prop_assert!(!profile.description.contains("{{"));
            prop_assert!(media.version.is_none_or(|v| v.len() <= 24 && v.chars().all(|c| c.is_ascii_digit() || c == '.')));
        }
    }
}
