//! Rules, and the tensors that transformers computes.

use synod_image::{Channels, Element, Image, Layout, Order, Rule, RuleError, Tensor};

use crate::fixtures::{file, folder, golden};

fn config(name: &str) -> Vec<u8> {
    file(&format!("{name}.json"))
}

#[test]
fn tensors_are_those_of_transformers_to_the_bit() {
    let golden = golden();
    assert!(golden.rules.len() > 50, "{} cases", golden.rules.len());
    let wrong = golden.wrong_tensors(&folder());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_rule_has_one_form_and_comes_back_from_it() {
    for (name, ..) in golden().rules {
        let rule = Rule::from_hugging_face(&config(&name)).expect("known");
        let json = rule.to_json();
        assert_eq!(
            Rule::from_canonical(json.as_bytes()).expect("its own form"),
            rule,
            "{name}"
        );
    }
    let rule = Rule::from_hugging_face(&config("resnet")).expect("known");
    assert_eq!(
        rule.to_json(),
        r#"{"version":1,"channels":"rgb","resize":{"size":{"shortest_edge":256},"filter":"bicubic"},"crop":{"height":224,"width":224},"rescale":0.00392156862745098,"normalize":[{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}],"layout":"chw","element":"f32"}"#
    );
    let spaced = rule.to_json().replace(',', ", ");
    assert_eq!(Rule::from_json(spaced.as_bytes()).expect("the same rule"), rule);
    assert!(matches!(
        Rule::from_canonical(spaced.as_bytes()),
        Err(RuleError::NotCanonical(13))
    ));
}

#[test]
fn rules_that_make_no_sense_are_refused_with_the_field() {
    let good = Rule::from_hugging_face(&config("resnet"))
        .expect("known")
        .to_json();
    for (from, to, message) in [
        ("\"version\":1", "\"version\":2", "version 2"),
        (
            "\"shortest_edge\":256",
            "\"shortest_edge\":0",
            "resize.size.shortest_edge",
        ),
        ("\"shortest_edge\":256", "\"longest_edge\":256", "longest_edge"),
        ("\"height\":224", "\"height\":100000", "crop"),
        ("\"bicubic\"", "\"spline\"", "spline"),
        ("0.00392156862745098", "0", "rescale"),
        ("0.00392156862745098", "1e999", "number"),
        ("[0.229,0.224,0.225]", "[0.229,0.224]", "normalize.std"),
        ("[0.229,0.224,0.225]", "[0.229,0.224,1e-60]", "normalize.std"),
        ("\"f32\"", "\"u8\"", "element"),
        ("\"layout\":\"chw\",", "", "layout"),
        ("\"layout\"", "\"turn\":true,\"layout\"", "turn"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = Rule::from_json(good.replacen(from, to, 1).as_bytes()).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn what_a_configuration_means_beyond_this_is_refused_with_field_and_value() {
    let text = String::from_utf8(config("mobilenet-v2")).expect("text");
    for (from, to, field, value) in [
        (
            "\"MobileNetV2ImageProcessor\"",
            "\"DonutImageProcessor\"",
            "image_processor_type",
            "DonutImageProcessor",
        ),
        (
            "\"do_resize\": true",
            "\"do_resize\": true, \"do_thumbnail\": true",
            "do_thumbnail",
            "true",
        ),
        (
            "\"do_resize\": true",
            "\"do_resize\": true, \"do_pad\": true",
            "do_pad",
            "true",
        ),
        (
            "\"do_resize\": true",
            "\"do_resize\": \"yes\"",
            "do_resize",
            "yes",
        ),
        ("\"resample\": 2", "\"resample\": 9", "resample", "9"),
        ("\"resample\": 2,", "", "resample", "missing"),
        (
            "\"shortest_edge\": 256",
            "\"shortest_edge\": 256, \"longest_edge\": 300",
            "size",
            "300",
        ),
        ("\"shortest_edge\": 256", "\"shortest_edge\": -1", "size", "-1"),
        ("\"channels_first\"", "\"planar\"", "data_format", "planar"),
        (
            "\"do_reduce_labels\": false",
            "\"size_divisor\": 32",
            "size_divisor",
            "32",
        ),
        (
            "\"do_reduce_labels\": false",
            "\"crop_pct\": 0.9",
            "crop_pct",
            "0.9",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let error = Rule::from_hugging_face(text.replacen(from, to, 1).as_bytes())
            .expect_err(field)
            .to_string();
        assert!(error.contains(field) && error.contains(value), "{error}");
    }
    assert!(Rule::from_hugging_face(b"[]").is_err());
    assert!(Rule::from_hugging_face(&vec![b' '; 1 << 20]).is_err());
}

#[test]
fn zeros_fill_up_behind_the_picture_and_never_cut_it() {
    let padded = String::from_utf8(config("pad")).expect("text");
    let rule = Rule::from_hugging_face(padded.as_bytes()).expect("known");
    let end = r#","pad":{"height":70,"width":80},"layout":"chw","element":"f32"}"#;
    assert!(rule.to_json().ends_with(end), "{}", rule.to_json());
    let unnamed = padded.replacen("\"height\": 70", "\"shortest_edge\": 70", 1);
    let error = Rule::from_hugging_face(unnamed.as_bytes()).expect_err("one side is not said");
    assert!(error.to_string().contains("pad_size"), "{error}");

    let rule = |layout, pad| Rule {
        version: synod_image::VERSION,
        channels: Order::Rgb,
        resize: None,
        crop: None,
        rescale: Some(1.0),
        normalize: vec![synod_image::Normalize {
            mean: vec![-1.0; 3],
            std: vec![1.0; 3],
        }],
        pad: Some(pad),
        layout,
        element: Element::F32,
    };
    let pad = synod_image::Pad { height: 2, width: 3 };
    let image = Image::new(2, 1, Channels::Rgb, vec![1, 2, 3, 4, 5, 6]).expect("a picture");
    let data = |layout| match rule(layout, pad).apply(&image).expect("it fits") {
        Tensor::F32 { data, .. } => data,
        Tensor::U8 { .. } => panic!("floats were asked for"),
    };
    let planes = [[2.0, 5.0], [3.0, 6.0], [4.0, 7.0]];
    let planes: Vec<f32> = planes
        .iter()
        .flat_map(|[a, b]| [*a, *b, 0.0, 0.0, 0.0, 0.0])
        .collect();
    assert_eq!(data(Layout::Chw), planes);
    let pixels = [
        [2.0, 3.0, 4.0],
        [5.0, 6.0, 7.0],
        [0.0; 3],
        [0.0; 3],
        [0.0; 3],
        [0.0; 3],
    ];
    assert_eq!(data(Layout::Hwc), pixels.concat());

    let narrow = synod_image::Pad { height: 2, width: 1 };
    let error = rule(Layout::Chw, narrow).apply(&image).expect_err("it is wider");
    assert_eq!(
        error,
        synod_image::ApplyError::Pad {
            width: 2,
            height: 1,
            pad: narrow
        }
    );
    assert_eq!(rule(Layout::Chw, narrow).cost(2, 1, Channels::Rgb), Err(error));
}

#[test]
fn grey_bgr_and_channels_last() {
    let rule = |channels, layout| Rule {
        version: synod_image::VERSION,
        channels,
        resize: None,
        crop: None,
        rescale: None,
        normalize: Vec::new(),
        pad: None,
        layout,
        element: Element::U8,
    };
    let image = Image::new(2, 1, Channels::Rgb, vec![255, 0, 0, 10, 20, 30]).expect("a picture");
    let tensor =
        |channels, layout, image: &Image| match rule(channels, layout).apply(image).expect("no resizing") {
            Tensor::U8 { data, shape } => (shape, data),
            Tensor::F32 { .. } => panic!("bytes were asked for"),
        };
    assert_eq!(
        tensor(Order::Rgb, Layout::Hwc, &image),
        ([1, 1, 2, 3], vec![255, 0, 0, 10, 20, 30])
    );
    assert_eq!(
        tensor(Order::Bgr, Layout::Hwc, &image),
        ([1, 1, 2, 3], vec![0, 0, 255, 30, 20, 10])
    );
    assert_eq!(
        tensor(Order::Bgr, Layout::Chw, &image),
        ([1, 3, 1, 2], vec![0, 30, 0, 20, 255, 10])
    );
    // Pillow: Image.new("RGB", (1, 1), (255, 0, 0)).convert("L") is 76, of (10, 20, 30) 18
    assert_eq!(
        tensor(Order::Grey, Layout::Chw, &image),
        ([1, 1, 1, 2], vec![76, 18])
    );
    let grey = Image::new(2, 1, Channels::Grey, vec![7, 9]).expect("a picture");
    assert_eq!(
        tensor(Order::Rgb, Layout::Hwc, &grey),
        ([1, 1, 2, 3], vec![7, 7, 7, 9, 9, 9])
    );
    assert_eq!(
        tensor(Order::Grey, Layout::Hwc, &grey),
        ([1, 1, 2, 1], vec![7, 9])
    );
}
