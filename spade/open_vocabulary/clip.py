"""OpenCLIP: names and images to embeddings, embeddings to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, normalize

from spade.core.errors import SpadeError
from spade.core.quiet import no_root_handler
from spade.open_vocabulary.clip_files import resolve_clip
from spade.structures.vocabulary import Label

OBJECT_TEMPLATES = ("a picture of a {}", "a photo of a {}", "a {}")
PREDICATE_TEMPLATES = ("a picture of something {} something", "something {} something")


class OpenClip:
    """A frozen OpenCLIP model. Embeddings have unit length."""

    def __init__(
        self,
        source: str,
        model: Any,
        tokenizer: Any,
        preprocessing: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        """preprocessing: how the model wants whole images, as open_clip's PreprocessCfg."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.source, self.model, self.tokenizer, self.device = source, model, tokenizer, device
        size = preprocessing["size"]
        self.size = (int(size[0]), int(size[1])) if isinstance(size, (tuple, list)) else (int(size), int(size))
        self._whole = image_transform_v2(PreprocessCfg(**preprocessing), is_train=False)
        self._mean, self._std = (torch.tensor(preprocessing[name]).view(3, 1, 1) for name in ("mean", "std"))

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return (
            int(self.model.text_projection.shape[1])
            if hasattr(self.model, "text_projection")
            else int(self.embed_texts(["a"]).shape[1])
        )

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) unit embeddings of texts, float32."""
        tokens = [self.tokenizer(list(texts[i : i + 256])).to(self.device) for i in range(0, len(texts), 256)]
        return torch.cat([self._encoded(block) for block in tokens]).float()

    def _encoded(self, tokens: Tensor) -> Tensor:
        """(N, D) unit embeddings of tokens (N, L).

        Where the text tower is causal and reads its answer off the end token, what follows that token changes nothing
        and is left out: names take a handful of 77 tokens, and a tenth of the time.
        """
        model = self.model
        ends = tokens.argmax(-1)
        longest = int(ends.max()) + 1
        pools_at_end = getattr(model, "text_pool_type", None) == "argmax"
        causal = getattr(model, "attn_mask", None)
        if not pools_at_end or causal is None or tokens.shape[1] == longest or not hasattr(model, "token_embedding"):
            whole: Tensor = model.encode_text(tokens, normalize=True)
            return whole
        kind = model.transformer.get_cast_dtype()
        hidden = model.token_embedding(tokens[:, :longest]).to(kind) + model.positional_embedding[:longest].to(kind)
        hidden = model.ln_final(model.transformer(hidden, attn_mask=causal[:longest, :longest]))
        at_end = hidden[torch.arange(len(tokens), device=tokens.device), ends]
        projection = model.text_projection
        if projection is not None:
            at_end = projection(at_end) if isinstance(projection, nn.Linear) else at_end @ projection
        return normalize(at_end, dim=-1)

    def embed_labels(self, labels: Sequence[Label]) -> Tensor:
        """(C, D): each label the mean over its names and the object templates."""
        return self._ensembles(
            [[t.format(name) for name in label.prompts for t in OBJECT_TEMPLATES] for label in labels]
        )

    def embed_predicates(self, predicates: Sequence[str]) -> Tensor:
        """(P, D): each predicate the mean over the predicate templates."""
        return self._ensembles([[t.format(name) for t in PREDICATE_TEMPLATES] for name in predicates])

    def _ensembles(self, groups: Sequence[Sequence[str]]) -> Tensor:
        embeddings = self.embed_texts([text for group in groups for text in group])
        rows = torch.split(embeddings, [len(group) for group in groups])
        return normalize(torch.stack([row.mean(0) for row in rows]), dim=-1)

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """(B, D) unit embeddings of images, each cropped or squeezed as the model's own preprocessing does, float32."""
        pixels = torch.stack([self._whole(image) for image in images])
        embedding: Tensor = self.model.encode_image(pixels.to(self.device), normalize=True)
        return embedding.float()

    @property
    def sees_regions(self) -> bool:
        """Whether ``embed_cells`` can be asked: the image tower is OpenCLIP's ResNet or its plain vision
        transformer.
        """
        visual = self.model.visual
        if hasattr(visual, "attnpool"):
            return True
        return hasattr(visual, "transformer") and isinstance(
            getattr(visual.transformer.resblocks[-1], "attn", None), nn.MultiheadAttention
        )

    @torch.no_grad()
    def embed_cells(self, image: Image.Image) -> Tensor:
        """(D, h, w) unit embeddings of an image's cells: each cell's value vector through the model's own projections,
        float32.

        What the pooling attention of the last layer would mix, unmixed (MaskCLIP, Zhou et al., 2022). Raises SpadeError
        for an image tower that is neither OpenCLIP's ResNet nor its plain vision transformer.
        """
        if not self.sees_regions:
            raise SpadeError(
                f"{self.source}: this OpenCLIP model's image tower gives no embeddings of regions; use `fusion=1`."
            )
        visual, pixels = self.model.visual, self._pixels(image)[None].to(self.device)
        if hasattr(visual, "attnpool"):
            grid = visual.forward_intermediates(pixels, indices=1, intermediates_only=True)["image_intermediates"][-1]
            height, width = grid.shape[-2:]
            cells = grid.flatten(2).transpose(1, 2) + visual.attnpool.positional_embedding[1:].to(grid.dtype)
            values = visual.attnpool.c_proj(visual.attnpool.v_proj(cells))
        else:
            block = visual.transformer.resblocks[-1]
            seen: dict[str, Tensor] = {}
            handle = block.register_forward_pre_hook(
                lambda module, args, kwargs: seen.update(x=args[0] if args else kwargs["q_x"]), with_kwargs=True
            )
            try:
                visual(pixels)
            finally:
                handle.remove()
            height, width = visual.grid_size
            inner = block.ln_1(seen["x"][:, -height * width :])
            size = inner.shape[-1]
            bias = None if block.attn.in_proj_bias is None else block.attn.in_proj_bias[2 * size :]
            values = visual.ln_post(
                block.ls_1(block.attn.out_proj(linear(inner, block.attn.in_proj_weight[2 * size :], bias)))
            )
            values = values if visual.proj is None else values @ visual.proj
        return normalize(values.float(), dim=-1)[0].T.unflatten(1, (height, width))

    def pooled(self, cells: Tensor, masks: Tensor) -> Tensor:
        """(N, D) unit embeddings of masks (N, H, W) in [0, 1] of the image whose cells (D, h, w) are given."""
        shares = interpolate(masks[None].float(), size=cells.shape[-2:], mode="area")[0].flatten(1)
        return normalize(shares @ cells.flatten(1).T, dim=-1)

    def region_scores(self, cells: Tensor, masks: Tensor, texts: Tensor) -> Tensor:
        """Probabilities (N, C) of texts (C, D) for masks (N, H, W) in [0, 1] of the image whose cells (D, h, w) are
        given.

        At the temperature that the model was trained with.
        """
        return (self.model.logit_scale.exp().float() * self.pooled(cells, masks) @ texts.T).softmax(-1)

    def _pixels(self, image: Image.Image) -> Tensor:
        """(3, H, W) of the whole image, squeezed to the model's size: cells are to cover all of it."""
        height, width = self.size
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        array = torch.from_numpy(np.asarray(resized, np.float32) / 255).permute(2, 0, 1)
        return (array - self._mean) / self._std


def load_clip(source: str, device: torch.device) -> OpenClip:
    """Load a frozen model from where ``resolve_clip`` finds it. Raises SpadeError where its files do not fit
    together.
    """
    folder = resolve_clip(source)
    import open_clip

    try:
        with no_root_handler():
            model = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True, device=device)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
            preprocessing = open_clip.get_model_preprocess_cfg(model)
    except (RuntimeError, ValueError, OSError, KeyError, TypeError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise SpadeError(
            f"{folder}: this OpenCLIP model cannot be loaded ({reason}); fetch it again or choose another `clip`."
        ) from None
    model.float().eval().requires_grad_(False)
    return OpenClip(source, model, tokenizer, preprocessing, device)
