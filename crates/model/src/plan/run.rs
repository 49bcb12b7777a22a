//! Running a plan: step by step as it is stated, or as the fast path has it.

use super::{
    Location, Meter, Observer, Plan, RunError, Step, Stop,
    schedule::{Arguments, Memory},
    workspace::Workspace,
};
use crate::{
    Tensor,
    import::NodeLabel,
    ops::{Io, OpError, Path, TensorType},
    stages::Stages,
    tensor::{Buffer, TensorView, TensorViewMut},
};
use std::sync::Arc;

impl Plan {
    /// Runs the plan with the fastest arithmetic of this machine.
    ///
    /// # Errors
    /// If the inputs are not of the planned types, the meter stops the run, or an operator meets a value out of its range.
    pub fn run(&self, inputs: &[Tensor], meter: &mut dyn Meter) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Fast, inputs, meter, None)
    }

    /// [`Self::run`], telling an observer what runs and when.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_observed(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Fast, inputs, meter, Some(observer))
    }

    /// Runs the plan with the scalar reference: the same bits, slowly.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_reference(&self, inputs: &[Tensor], meter: &mut dyn Meter) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Reference, inputs, meter, None)
    }

    /// [`Self::run_reference`], telling an observer what runs and when.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_reference_observed(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Reference, inputs, meter, Some(observer))
    }

    fn run_on(
        &self,
        path: Path,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>, RunError> {
        if path == Path::Fast && observer.is_none() && self.rest.is_none() {
            let mut outputs = self.new_outputs();
            self.run_warm(inputs, &mut outputs, meter)?;
            return Ok(outputs);
        }
        let canonical = self.check_inputs(inputs)?;
        let inputs = canonical.as_deref().unwrap_or(inputs);
        let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
        let outputs = self.execute(path, &views, meter, observer)?;
        match &self.rest {
            None => Ok(outputs),
            Some(rest) => {
                let inputs = views.iter().map(|input| input.bytes.len() as u64).sum();
                Stages::new(path, meter, inputs).finish(rest, outputs)
            }
        }
    }

    /// [`Self::run`] into tensors that the caller keeps: a warm run allocates nothing. Tensors of other types than the outputs' are
    /// replaced. What they hold after an error is unspecified.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_into(
        &self,
        inputs: &[Tensor],
        outputs: &mut Vec<Tensor>,
        meter: &mut dyn Meter,
    ) -> Result<(), RunError> {
        if self.rest.is_some() {
            *outputs = self.run(inputs, meter)?;
            return Ok(());
        }
        let fits = |(tensor, (_, kind)): (&Tensor, &(Location, TensorType))| {
            tensor.dtype() == kind.dtype && tensor.shape() == kind.shape
        };
        if outputs.len() != self.outputs.len() || !outputs.iter().zip(&self.outputs).all(fits) {
            *outputs = self.new_outputs();
        }
        self.run_warm(inputs, outputs, meter)
    }

    /// Runs the schedule in a workspace that waits, if there is one.
    fn run_warm(
        &self,
        inputs: &[Tensor],
        outputs: &mut [Tensor],
        meter: &mut dyn Meter,
    ) -> Result<(), RunError> {
        let canonical = self.check_inputs(inputs)?;
        let inputs = Arguments::Tensors(canonical.as_deref().unwrap_or(inputs));
        let mut workspace = self.workspaces.take();
        let result = self.execute_in(&mut workspace, inputs, outputs, meter, None);
        self.workspaces.give_back(workspace);
        result
    }

    /// [`Self::run`], telling an observer which nodes run as one, and when. What they leave it is not told: values between them may
    /// live in registers. Of a plan that ends before its graph does, only that much runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_watched(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let canonical = self.check_inputs(inputs)?;
        let inputs = Arguments::Tensors(canonical.as_deref().unwrap_or(inputs));
        let mut workspace = self.workspaces.take();
        let result = self.execute_in(
            &mut workspace,
            inputs,
            &mut self.new_outputs(),
            meter,
            Some(observer),
        );
        self.workspaces.give_back(workspace);
        result
    }

    /// Memory for runs of [`Self::execute_in`].
    pub(crate) fn workspace(&self) -> Workspace {
        self.workspaces.make()
    }

    /// Tensors for the outputs.
    pub(crate) fn new_outputs(&self) -> Vec<Tensor> {
        let new = |(_, kind): &(Location, TensorType)| {
            Tensor::from_buffer(kind.dtype, kind.shape.clone(), Buffer::zeroed(kind.bytes()))
        };
        self.outputs.iter().map(new).collect()
    }

    /// Runs the steps as they are scheduled, with the fast kernels; inputs and outputs are of the planned types.
    pub(crate) fn execute_in(
        &self,
        workspace: &mut Workspace,
        inputs: Arguments<'_>,
        outputs: &mut [Tensor],
        meter: &mut dyn Meter,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<(), RunError> {
        let mut memory = Memory {
            inputs,
            constants: &self.constants,
            workspace,
            scratch: self.scratch,
            outputs,
        };
        for (step, action) in self.steps.iter().zip(&self.schedule.runs) {
            charge(step, meter)?;
            let Some(action) = *action else { continue };
            let action = &self.schedule.actions[action];
            if let Some(observer) = &mut observer {
                observer.begin(&action.nodes);
            }
            action
                .run(&mut memory, meter)
                .map_err(|error| error.of_run(&step.label))?;
            if let Some(observer) = &mut observer {
                observer.end(&action.nodes, &[]);
            }
        }
        for (index, &place) in self.schedule.outputs.iter().enumerate() {
            memory.copy_to_output(place, index);
        }
        Ok(())
    }

    /// Runs the steps once; the inputs are of the planned types.
    pub(crate) fn execute(
        &self,
        path: Path,
        inputs: &[TensorView<'_>],
        meter: &mut dyn Meter,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>, RunError> {
        if path == Path::Fast && observer.is_none() {
            let mut outputs = self.new_outputs();
            self.execute_in(
                &mut self.workspace(),
                Arguments::Views(inputs),
                &mut outputs,
                meter,
                None,
            )?;
            return Ok(outputs);
        }
        let mut slots: Vec<Buffer> = self.slots.iter().map(|&bytes| Buffer::zeroed(bytes)).collect();
        let mut scratch = Buffer::zeroed(self.scratch);
        for step in &self.steps {
            charge(step, meter)?;
            let nodes = [step.node];
            if let Some(observer) = &mut observer {
                observer.begin(&nodes);
            }
            self.run_step(step, path, inputs, &mut slots, scratch.bytes_mut(), meter)
                .map_err(|error| error.of_run(&step.label))?;
            if let Some(observer) = &mut observer {
                let outputs: Vec<Option<TensorView<'_>>> = step
                    .outputs
                    .iter()
                    .map(|output| {
                        let (slot, kind) = output.as_ref()?;
                        Some(TensorView {
                            dtype: kind.dtype,
                            shape: &kind.shape,
                            bytes: &slots[*slot].bytes()[..kind.bytes()],
                        })
                    })
                    .collect();
                observer.end(&nodes, &outputs);
            }
        }
        let give = |(location, kind): &(Location, TensorType)| match *location {
            Location::Input(input) => inputs[input].to_tensor(),
            Location::Constant(constant) => self.constants[constant].tensor().clone(),
            Location::Slot(slot) => {
                Tensor::from_buffer(kind.dtype, kind.shape.clone(), std::mem::take(&mut slots[slot]))
            }
        };
        Ok(self.outputs.iter().map(give).collect())
    }

    /// Checks the thread and the inputs. Gives these with canonical NaNs if they have others: a caller may have written some into
    /// a tensor after it was made.
    fn check_inputs(&self, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, RunError> {
        if !synod_numerics::environment::is_default() {
            return Err(RunError::FloatEnvironment);
        }
        if inputs.len() != self.inputs.len() {
            return Err(RunError::InputCount {
                expected: self.inputs.len(),
                got: inputs.len(),
            });
        }
        for ((name, kind), input) in self.inputs.iter().zip(inputs) {
            if input.dtype() != kind.dtype || input.shape() != kind.shape {
                return Err(RunError::Input {
                    name: name.clone(),
                    expected: kind.clone(),
                    dtype: input.dtype(),
                    shape: input.shape().to_vec(),
                });
            }
        }
        if inputs.iter().all(Tensor::has_only_canonical_nans) {
            return Ok(None);
        }
        let mut inputs = inputs.to_vec();
        inputs.iter_mut().for_each(Tensor::canonicalize_nan);
        Ok(Some(inputs))
    }

    fn run_step(
        &self,
        step: &Step,
        path: Path,
        inputs: &[TensorView<'_>],
        slots: &mut [Buffer],
        scratch: &mut [u8],
        meter: &mut dyn Meter,
    ) -> Result<(), OpError> {
        // The output buffers leave their slots while the step runs: the planner never gives a step one slot twice.
        let mut buffers: Vec<Option<Buffer>> = step
            .outputs
            .iter()
            .map(|output| output.as_ref().map(|(slot, _)| std::mem::take(&mut slots[*slot])))
            .collect();
        let view = |(location, kind): &'_ (Location, Arc<TensorType>)| -> &[u8] {
            match *location {
                Location::Input(input) => inputs[input].bytes,
                Location::Constant(constant) => self.constants[constant].tensor().bytes(),
                Location::Slot(slot) => &slots[slot].bytes()[..kind.bytes()],
            }
        };
        let read: Vec<_> = step
            .inputs
            .iter()
            .map(|input| {
                let input = input.as_ref()?;
                Some(TensorView {
                    dtype: input.1.dtype,
                    shape: &input.1.shape,
                    bytes: view(input),
                })
            })
            .collect();
        let mut written: Vec<_> = buffers
            .iter_mut()
            .zip(&step.outputs)
            .map(|(buffer, output)| {
                let (buffer, (_, kind)) = (buffer.as_mut()?, output.as_ref()?);
                let bytes = &mut buffer.bytes_mut()[..kind.bytes()];
                Some(TensorViewMut {
                    dtype: kind.dtype,
                    shape: &kind.shape,
                    bytes,
                })
            })
            .collect();
        let scratch = &mut scratch[..step.kernel.scratch_bytes()];
        let result = step.kernel.run(&mut Io {
            path,
            inputs: &read,
            outputs: &mut written,
            scratch,
            meter,
            epilogue: None,
        });
        for (buffer, output) in buffers.into_iter().zip(&step.outputs) {
            if let (Some(buffer), Some((slot, _))) = (buffer, output) {
                slots[*slot] = buffer;
            }
        }
        result
    }
}

fn charge(step: &Step, meter: &mut dyn Meter) -> Result<(), RunError> {
    meter
        .charge(step.node, &step.work)
        .map_err(|Stop| RunError::Stopped {
            node: NodeLabel::clone(&step.label),
        })
}
