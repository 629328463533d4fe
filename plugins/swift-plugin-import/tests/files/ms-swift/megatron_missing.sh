ARGS=(
    --tensor_model_parallel_size 2
    --micro_batch_size 1
    --global_batch_size 16
)
PYTORCH_CUDA_ALLOC_CONF='expandable_segments:True' \
NPROC_PER_NODE=4 \
USE_HF=1 \
megatron sft \
    --model acme/moon-7b \
    --dataset alpaca-en-demo \
    --tuner_type full \
    "${ARGS[@]}" \
    --recompute_granularity full \
    --recompute_method uniform \
    --recompute_num_layers 1 \
    --lr 1e-5 \
    --lr_warmup_fraction 0.05 \
    --max_epochs 1 \
    --finetune true \
    --no_save_optim true \
    --no_save_rng true \
    --save output/megatron \
    --external_plugins moon.py \
    --max_length 2048
