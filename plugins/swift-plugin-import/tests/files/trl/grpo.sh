trl grpo --model_name_or_path acme/moon-500m --dataset_name acme/sums --reward_funcs accuracy_reward rewards.py:near \
    --num_generations 4 --use_peft --max_prompt_length 200 --use_vllm True --vllm_mode colocate --vllm_gpu_memory_utilization 0.4 --log_completions
