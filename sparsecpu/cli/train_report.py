"""The table at the end of ``sparsecpu train``."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """Return what was trained and what sparsity bought, in a few lines.

    Parameters
    ----------
    result : dict
        As ``--json`` prints it.

    Returns
    -------
    str
        Lines.
    """
    lines = [f"{'layer':<12}{'shape':>14}{'nnz':>12}{'density':>10}"]
    for layer in result["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        lines.append(f"{layer['name']:<12}{shape:>14}{layer['nnz']:>12,}{layer['density']:>10.4f}")
    lines.append(f"{'all':<12}{'':>14}{result['nnz']:>12,}{result['density']:>10.4f}")
    lines.append("")
    if "test_accuracy" in result:
        right = f"{100 * result['test_accuracy']:.2f} %"
        lines.append(f"test accuracy    {right} of {result['test_samples']} held-out samples")
    else:
        lines.append(
            f"test R2          {result['test_r2']:.4f} on {result['test_samples']} samples"
        )
    sparse, dense = result["weight_bytes"], result["dense_weight_bytes"]
    lines.append(f"weights          {sparse:,} bytes; dense {dense:,} ({dense / sparse:.1f}x)")
    lines.append(_step_line(result))
    if result["seconds_per_epoch"] is not None:
        lines.append(
            f"epoch            {result['seconds_per_epoch']:.3f} s, {result['epochs']} epochs"
        )
    whole = f"{result['seconds']:.1f} s, of which compiling {result['compile_seconds']:.1f} s"
    lines.append(f"in all           {whole}")
    teams = f"{result['threads']} thread(s), dense up to {result['dense_threads']}"
    if result["ranks"] > 1:
        teams = f"{result['ranks']} ranks of {result['threads']} thread(s)"
    lines.append(f"measured on      {result['cpu']}, {teams}")
    if result.get("iso_flop"):
        from sparsecpu.isoflop import cost_table

        lines += ["", cost_table(result["iso_flop"]), ""]
    if result["out"]:
        lines.append(f"kept in          {result['out']}")
    return "\n".join(lines)


def _step_line(result: dict[str, Any]) -> str:
    ours, dense = result["step_ms"], result["dense_step_ms"]
    if ours is None:
        return "step             nothing was left to train"
    line = f"step             {ours:.3f} ms at batch {result['batch_size']}"
    if dense is None:
        return f"{line}; the dense network was not timed"
    ratio = dense / ours
    verdict = f"{ratio:.1f}x faster" if ratio >= 1 else f"{1 / ratio:.1f}x slower: use dense here"
    return f"{line}; dense (NumPy) {dense:.3f} ms: {verdict}"
