export type { Adapter } from "./adapters/adapter.ts";
export { type AttachOptions, attachDora, attachLora } from "./adapters/attach.ts";
export { type AdapterDescription, describeAdapter } from "./adapters/describe.ts";
export { mergeAdapter } from "./adapters/merge.ts";
export { loadAdapter, saveAdapter } from "./adapters/peft_format.ts";
export { type Device, type DeviceOptions, device } from "./core/device.ts";
export * from "./core/errors.ts";
export { keep, scope } from "./core/scope.ts";
export { checkpoint, disposeAll, valueAndGrad, withoutGrad } from "./core/tape.ts";
export type { Tensor } from "./core/tensor.ts";
export {
  type Corpus,
  corpusOf,
  encodeDocuments,
  joinCorpora,
  textBytes,
  tokenizeDocuments,
} from "./data/corpus.ts";
export * as dedup from "./data/dedup/index.ts";
export * as minhash from "./data/dedup/signature.ts";
export type { Document, Verdict } from "./data/document.ts";
export * as extract from "./data/extract/index.ts";
export * as filter from "./data/filters/index.ts";
export {
  type FinewebOptions,
  type FinewebProgress,
  type FinewebReport,
  type FinewebRunOptions,
  fineweb,
  runFineweb,
} from "./data/fineweb.ts";
export * as format from "./data/format/index.ts";
export { type MixPart, type Mixture, mix, mixBatches } from "./data/mix.ts";
export { openCorpus } from "./data/open_corpus.ts";
export {
  type PackedOptions,
  packedBatches,
  type SequentialOptions,
  sequentialBatches,
} from "./data/packed_batches.ts";
export {
  type Pipeline,
  type PipelineReport,
  pipeline,
  type RunOptions,
  type RunProgress,
} from "./data/pipeline.ts";
export { type PipelineSettings, readPipelineFile, readPipelineSteps } from "./data/pipeline_file.ts";
export * as read from "./data/readers/index.ts";
export { type Share, shareOf } from "./data/share.ts";
export * as stats from "./data/stats/index.ts";
export type { Filter, Output, Reader, Step, StepDescription, TaskContext, Writer } from "./data/step.ts";
export * as step from "./data/steps/index.ts";
export type { Counts, StepCounts } from "./data/task_counts.ts";
export { readTexts } from "./data/text_files.ts";
export { openTokenFile, type TokenFile, type TokenFileInfo } from "./data/token_file.ts";
export { writeTokenFile } from "./data/write_token_file.ts";
export * as write from "./data/writers/index.ts";
export { type GenerateBatchOptions, type GeneratedBatch, generateBatch } from "./generate/batch.ts";
export { type FinishReason, type Generated, type GenerateOptions, generate } from "./generate/generate.ts";
export { type Row, readRows } from "./io/rows.ts";
export type { ModelConfig } from "./models/config.ts";
export { createModel } from "./models/create.ts";
export { describeModel, type ModelDescription } from "./models/describe.ts";
export { exampleModelDir } from "./models/example_model.ts";
export { type LoadOptions, loadModel } from "./models/load.ts";
export { loadOrCreateModel } from "./models/load_or_create.ts";
export type { Model } from "./models/model.ts";
export { type SaveOptions, saveModel } from "./models/save.ts";
export { attachRewardHead, type RewardHeadOptions, type ScoreHead } from "./models/score_head.ts";
export { type UpcycleOptions, upcycle } from "./models/upcycle.ts";
export { type Gae, type GaeOptions, gae } from "./ops/gae.ts";
export * as ops from "./ops/index.ts";
export type { Routing } from "./ops/router.ts";
export { adam, adamw } from "./optim/adamw.ts";
export { chain } from "./optim/chain.ts";
export { clipByGlobalNorm } from "./optim/clip.ts";
export { lion } from "./optim/lion.ts";
export { type LrGroup, loraPlus } from "./optim/lr_groups.ts";
export { type MuonOptions, muon } from "./optim/muon.ts";
export type { Optimizer } from "./optim/optimizer.ts";
export * as schedule from "./optim/schedule.ts";
export { sgd } from "./optim/sgd.ts";
export { doraSections, type MagnitudeChange } from "./report/dora_report.ts";
export { metricsSections } from "./report/metrics_report.ts";
export { writeReport } from "./report/page.ts";
export type { Report, Section } from "./report/sections.ts";
export { ablatePipeline, type PipelineAblationOptions } from "./study/ablation/ablate_pipeline.ts";
export { runAblation } from "./study/ablation/ablation.ts";
export type { PipelineVariant, VariantDedup } from "./study/ablation/chosen_steps.ts";
export type { AblationPoint, AblationResult } from "./study/ablation/results.ts";
export type { AblationOptions } from "./study/ablation/settings.ts";
export {
  type PipelineVariantsOptions,
  pipelineVariants,
  type VariantProgress,
  type VariantTexts,
} from "./study/ablation/variants.ts";
export type { Method, MethodOption, StudyRun } from "./study/grid.ts";
export type { RunRow } from "./study/rows.ts";
export type { StudyOptions } from "./study/settings.ts";
export { rankForVariance } from "./study/spectrum.ts";
export { runStudy, studyRuns } from "./study/study.ts";
export {
  type AlignmentBatchOptions,
  type LabelledBatch,
  type LabelledBatchOptions,
  labelledBatches,
  type PairBatch,
  type PromptBatch,
  packPairs,
  pairBatches,
  promptBatches,
} from "./text/alignment_batches.ts";
export {
  type AlignmentRow,
  type AlignmentRowOptions,
  type Labelled,
  type LabelledRows,
  type Pair,
  type Pairs,
  type Prompt,
  type Prompts,
  readLabelled,
  readPairs,
  readPrompts,
} from "./text/alignment_rows.ts";
export { type Question, readQuestions } from "./text/choices.ts";
export type { Dropped } from "./text/encode_rows.ts";
export type { EpochOptions } from "./text/epochs.ts";
export { type ExampleBatchOptions, exampleBatches, packExamples } from "./text/example_batches.ts";
export { type Examples, readExamples } from "./text/examples.ts";
export type { Example, ExampleOptions, SftRow } from "./text/sft_row.ts";
export { type BatchSource, packBatch, type SourceShare, type TokenBatch } from "./text/token_batch.ts";
export { loadTokenizer, type Tokenizer } from "./text/tokenizer.ts";
export { type TrainTokenizerOptions, trainTokenizer } from "./text/train_tokenizer.ts";
export type { TrainingData } from "./train/batch_source.ts";
export type { CheckpointOptions, Fork } from "./train/checkpoint.ts";
export { type DpoOptions, trainDpo } from "./train/dpo.ts";
export { evaluateLoss, evaluateText, expertLoad, type TextEvaluation } from "./train/evaluate.ts";
export { type GrpoOptions, type GrpoRollout, grpo, trainGrpo } from "./train/grpo.ts";
export { type KtoOptions, trainKto } from "./train/kto.ts";
export { type LanguageModelLossOptions, languageModelLoss, logProbs } from "./train/loss.ts";
export type { StepMetrics } from "./train/metrics.ts";
export { type ChoiceEvaluation, evaluateChoices } from "./train/multiple_choice.ts";
export type { PretrainData } from "./train/open_data.ts";
export type { PairLossFunction, PairLossName, PairMeasures } from "./train/pair_losses.ts";
export { type PpoOptions, type PpoRollout, type PpoTargets, ppo, trainPpo } from "./train/ppo.ts";
export * as preferenceLoss from "./train/preference/index.ts";
export { type PretrainOptions, type PretrainPhase, pretrain } from "./train/pretrain.ts";
export type { Reference } from "./train/reference.ts";
export { type RewardOptions, trainReward } from "./train/reward.ts";
export { groupAdvantages, rlooAdvantages } from "./train/rl/group_advantages.ts";
export { grpoLoss } from "./train/rl/grpo_loss.ts";
export { klEstimate, klRewards } from "./train/rl/kl.ts";
export { passAtK } from "./train/rl/pass_at_k.ts";
export { ppoPolicyLoss, ppoValueLoss } from "./train/rl/ppo_loss.ts";
export type { RewardFunction, Sample } from "./train/rl/rollout.ts";
export { whiten } from "./train/rl/whiten.ts";
export { type SftOptions, trainSft } from "./train/sft.ts";
