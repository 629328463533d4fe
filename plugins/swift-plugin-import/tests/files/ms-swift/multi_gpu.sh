#!/usr/bin/env bash
nproc_per_node=4
MODEL=${MODEL:-acme/moon-7b}

NPROC_PER_NODE=$nproc_per_node \
USE_HF=1 \
swift sft \
    --model $MODEL \
    --train_type full \
    --dataset alpaca-en-demo \
    --deepspeed zero3 \
    --attn_impl flash_attn \
    --max_length 4096 \
    --truncation_strategy delete \
    --packing true \
    --padding_free true \
    --load_from_cache_file true \
    --split_dataset_ratio 0.01 \
    --learning_rate 1e-5 > train.log 2>&1 &
wait
