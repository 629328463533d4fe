trl dpo --model_name_or_path acme/moon-500m-instruct --dataset_name trl-lib/ultrafeedback_binarized \
  --learning_rate 5.0e-7 --beta 0.2 --loss_type ipo --per_device_train_batch_size 2 --max_steps 1000 \
  --gradient_checkpointing false --use_peft --output_dir moon-dpo
