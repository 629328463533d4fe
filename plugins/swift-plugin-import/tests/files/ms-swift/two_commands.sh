swift pt --model acme/moon-1b --use_hf true --train_type full --dataset wiki-demo --max_steps 100 --max_length 512
swift infer --adapters output/checkpoint-100 --stream true --temperature 0 --max_new_tokens 512
