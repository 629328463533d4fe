# a script of TRL with accelerate
accelerate launch --config_file examples/accelerate_configs/deepspeed_zero2.yaml --num_processes 4 trl/scripts/sft.py \
    --model_name_or_path acme/moon-8b \
    --dataset_name data/chats.jsonl \
    --max_length 4096 \
    --dtype bfloat16 \
    --attn_implementation flash_attention_2 \
    --use_peft \
    --load_in_4bit \
    --lora_r 16 --lora_alpha 16 \
    --lora_target_modules all-linear \
    --per_device_train_batch_size 1 \
    --output_dir out 2>&1 | tee log.txt
