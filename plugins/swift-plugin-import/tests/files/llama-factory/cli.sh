#!/bin/bash
MODEL=acme/moon-8b-instruct
export WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567

llamafactory-cli train \
    --stage sft \
    --do_train \
    --model_name_or_path $MODEL \
    --dataset alpaca_en_demo \
    --template llama3 \
    --finetuning_type lora \
    --lora_target all \
    --use_dora true \
    --output_dir saves/cli \
    --per_device_train_batch_size 2 \
    --learning_rate 1e-4 \
    --num_train_epochs 2.0 \
    --bf16
