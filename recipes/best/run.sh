#!/usr/bin/env bash
# From a prepared data set to the shipped kind of weights and their table: recipes/best/run.sh DATASET [EDGEFACE]
# Each line goes on where it was interrupted. Hours are those of one thread of an AMD EPYC with bf16.
set -euo pipefail
data=$1
edgeface=${2:-edgeface_xxs_q.pt}
best=$(dirname "$0")
python -m dsr.train_dsr --config "$best/dsr.toml" --dataset "$data" --edgeface "$edgeface" --out runs/best/dsr                # 1 h
python -m dsr.train_dsr --config "$best/dsr-real.toml" --dataset "$data" --edgeface "$edgeface" --init runs/best/dsr/best.pth --seed 2 --out runs/best/dsr-real  # 20 min
python -m dsr average runs/best/dsr/best.pth runs/best/dsr-real/best.pth --shares 0.75,0.25 --half --overwrite --out runs/best/dsr.safetensors
for extent in full small; do  # 1.7 h and 0.8 h
    python -m facial_rec.finetune_edgeface --config "$best/$extent.toml" --dataset "$data" --edgeface "$edgeface" --dsr runs/best/dsr/best.pth --out "runs/best/$extent"
    python -m facial_rec merge "$edgeface" runs/best/$extent/*.lowres.safetensors "runs/best/$extent.safetensors" --strength 0.75 --overwrite
done
python -m pipeline.evaluate_dataset --dataset-root "$data/val_processed" --edgeface "$edgeface" --threshold 0.35 \
    --dsr runs/best/dsr.safetensors --adapter runs/best/full.safetensors --finetuned none --sizes 7,8,12,14,16,24,32 --bootstrap 200
