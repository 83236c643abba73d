from __future__ import annotations

import torch

from spade.diffusion.inversion import MapPlan
from spade.diffusion.prompts import relation_prompt, split_triples
from spade.diffusion.teacher import read_span_maps
from spade.world.annotation import make_sample

PLAN = MapPlan(20, (101,), (2,))


def scenes(count=2):
    return torch.stack([torch.from_numpy(make_sample(5, i).image).permute(2, 0, 1) / 127.5 - 1 for i in range(count)])


def test_company_changes_nothing(backbone):
    """An image's maps are the same alone and beside others, and with more prompts than one."""
    prompts = [
        relation_prompt([(0, 1, "beside")], ["dog", "person"]),
        relation_prompt([(1, 0, "looking at")], ["dog", "person"]),
    ]
    alone, reached = read_span_maps(backbone, scenes(1), [prompts[:1]], PLAN)
    both, _ = read_span_maps(backbone, scenes(2), [prompts, prompts[:1]], PLAN)
    assert reached == (101,)
    assert [m.prompt for m in both[0].spans] == [0, 0, 0, 1, 1, 1]
    for one, other in zip(alone[0].spans, both[0].spans, strict=False):
        assert one.span == other.span
        assert torch.allclose(one.map, other.map, atol=1e-5)
    assert not torch.allclose(both[0].spans[0].map, both[1].spans[0].map, atol=1e-5), "another image has other maps"


def test_43_triples_give_a_map_for_each_of_their_mentions(backbone):
    labels, words = ["dog", "person", "horse", "car", "grass"], ["beside", "looking at", "in front of"]
    triples = [(i % 5, (i + 1 + i // 5 % 4) % 5, words[i % 3]) for i in range(43)]
    runs = split_triples(triples, labels, backbone.token_count, backbone.token_limit)
    (own,), _ = read_span_maps(backbone, scenes(1), [[relation_prompt(run, labels) for run in runs]], PLAN)
    assert len(own.tokens) == len(runs) > 2, "more prompts than go through the UNet at once"
    wanted = [name for s, o, p in triples for name in (labels[s], p, labels[o])]
    assert sorted(mention.span.name for mention in own.spans) == sorted(wanted)


def test_a_text_is_encoded_once_and_an_image_once(backbone):
    counted = {"texts": 0, "images": 0}
    handles = [
        backbone.text_encoder.register_forward_pre_hook(
            lambda m, args: counted.update(texts=counted["texts"] + len(args[0]))
        ),
        backbone.vae.encoder.register_forward_pre_hook(
            lambda m, args: counted.update(images=counted["images"] + len(args[0]))
        ),
    ]
    prompt, other = (
        relation_prompt([(0, 1, "beside")], ["dog", "person"]),
        relation_prompt([(0, 1, "feeding")], ["dog", "person"]),
    )
    try:
        read_span_maps(backbone, scenes(2), [[prompt, other], [prompt]], PLAN)
    finally:
        for handle in handles:
            handle.remove()
    assert counted == {"texts": 2, "images": 2}


def test_a_mention_is_the_mean_of_its_tokens_and_padding_is_left_out(backbone):
    prompt = relation_prompt([(0, 1, "looking at")], ["quagga", "person"])
    seen = read_span_maps(backbone, scenes(1), [[prompt]], PLAN)[0][0]
    assert len(seen.tokens[0]) == backbone.token_count(prompt.text)
    for mention in seen.spans:
        assert torch.allclose(mention.map, seen.tokens[0][list(mention.tokens)].mean(0))
    assert len(seen.spans[0].tokens) > 1, "an unknown word comes in several pieces"
